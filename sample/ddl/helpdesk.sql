-- The helpdesk: Nordtel's own (tenant: the private subscribers') and, in the same database, those of companies that use
-- Nordtel's contact centre. Bodies are free text and contain what people write into them. Run as helpdesk_owner.

create table ticket (
    id              bigint primary key,
    tenant          uuid not null,
    customer_number text,
    requester_name  text not null,
    requester_email text not null,
    requester_phone text,
    agent_number    text,
    subject         text not null,
    body            text not null,
    language        text not null,
    created_at      timestamptz not null,
    closed_at       timestamptz                        -- null: open
);

create table email_message (
    id            bigint primary key,
    tenant        uuid not null,
    ticket        bigint not null references ticket on delete cascade,
    from_address  text not null,
    to_address    text not null,
    subject       text not null,
    body          text not null,
    sent_at       timestamptz not null
);

create table chat (
    id              bigint primary key,
    tenant          uuid not null,
    customer_number text,
    visitor_name    text not null,
    visitor_email   text,
    agent_number    text,
    language        text not null,
    started_at      timestamptz not null,
    closed_at       timestamptz
);

create table chat_message (
    id       bigint primary key,
    tenant   uuid not null,
    chat     bigint not null references chat on delete cascade,
    author   text not null check (author in ('visitor', 'agent')),
    body     text not null,
    sent_at  timestamptz not null
);

create index on ticket (customer_number);
create index on ticket (requester_email);
create index on ticket (requester_phone);
create index on ticket (agent_number);
create index on ticket (closed_at);
create index on email_message (ticket);
create index on email_message (from_address);
create index on email_message (to_address);
create index on chat (customer_number);
create index on chat (visitor_email);
create index on chat (agent_number);
create index on chat (closed_at);
create index on chat_message (chat);
