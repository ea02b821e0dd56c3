"""Everything that changes data, by subject: authorities, orders, reviews, holds, collections, deliveries."""
