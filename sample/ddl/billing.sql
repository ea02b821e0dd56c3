-- Nordtel's billing database: who has an agreement, which numbers they use, what they were billed.
-- Run as billing_owner. Wardline's role gets rows, never the tables; the verifier only reads.

create table customer (
    id                 bigint primary key,
    tenant             uuid not null,
    customer_number    text not null unique,           -- 'K' and seven digits
    kind               text not null check (kind in ('private', 'company')),
    name               text not null,
    personnummer       text,                           -- yyyymmddnnnn; null for a company
    organisation_number text,                          -- nnnnnnnnnn; null for a person
    address            text not null,
    postal_code        text not null,
    city               text not null,
    email              text not null,
    msisdn             text,                           -- contact number, E.164 digits without '+'
    language           text not null check (language in ('sv', 'en')),
    protected_identity boolean not null default false,
    created_at         timestamptz not null
);

create table agreement (
    id         bigint primary key,
    tenant     uuid not null,
    customer   bigint not null references customer,
    started_at timestamptz not null,
    ended_at   timestamptz                             -- null: still running
);

-- user_customer is the person who uses the number: Maja on Erik's agreement.
create table service (
    id            bigint primary key,
    tenant        uuid not null,
    agreement     bigint not null references agreement,
    user_customer bigint not null references customer,
    product       text not null check (product in ('mobile', 'fixed', 'broadband', 'contact_centre')),
    msisdn        text not null,
    agent_number  text,                                -- the company's agent who answers this number
    valid_from    timestamptz not null,
    valid_to      timestamptz
);

-- A claim keeps an invoice's rows beyond the ordinary time, so it has an owner and an end.
create table invoice (
    id              bigint primary key,
    tenant          uuid not null,
    customer        bigint not null references customer,
    number          text not null unique,
    issued_at       timestamptz not null,
    due_at          timestamptz not null,
    amount_ore      bigint not null,
    currency        text not null,
    paid_at         timestamptz,
    disputed_at     timestamptz,
    claim_reference text,
    claim_owner     text,
    claim_until     timestamptz,
    check ((claim_reference is null) = (claim_owner is null) and (claim_reference is null) = (claim_until is null))
);

-- To whom a number belonged, and when. Numbers are given to someone new after a quarantine.
create table number_period (
    id         bigint primary key,
    tenant     uuid not null,
    msisdn     text not null,
    customer   bigint not null references customer,
    valid_from timestamptz not null,
    valid_to   timestamptz
);

create index on agreement (customer);
create index on service (agreement);
create index on service (user_customer);
create index on service (msisdn);
create index on invoice (customer);
create index on number_period (customer);
create index on number_period (msisdn);
create index on customer (msisdn);
create index on customer (email);
create index on customer (personnummer);
