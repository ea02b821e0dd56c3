-- The same for every store; STORE is filled in by sample/stores.py.
-- The verifier sees the ordinary tables only: what is preserved for an order must not show in a verification.
grant usage on schema public to STORE_wardline, STORE_verifier;
grant select, insert, update, delete on all tables in schema public to STORE_wardline;
grant select on all tables in schema public to STORE_verifier;

create schema wardline authorization STORE_owner;
grant usage on schema wardline to STORE_wardline;
alter default privileges for role STORE_owner in schema wardline
    grant select, insert, update, delete on tables to STORE_wardline;
alter default privileges for role STORE_owner in schema wardline
    grant usage, select on sequences to STORE_wardline;
