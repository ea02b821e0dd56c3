-- The same for every store; {store} and {tables_owner} are filled in by sample/postgres.py.
-- The verifier sees the ordinary tables only: what is preserved for an order must not show in a verification.
grant usage on schema public to {store}_wardline, {store}_verifier;
grant select, insert, update, delete on all tables in schema public to {store}_wardline;
grant select on all tables in schema public to {store}_verifier;

create schema wardline authorization {store}_owner;
grant usage on schema wardline to {store}_wardline;
alter default privileges for role {store}_owner in schema wardline
    grant select, insert, update, delete on tables to {store}_wardline;
alter default privileges for role {store}_owner in schema wardline
    grant usage, select on sequences to {store}_wardline;
