"""The columns of the sample's tables as Arrow schemas, in the order of ddl/*.sql: rows travel in columns, never one by one."""

import pyarrow as pa
import pyarrow.compute as pc

TIME = pa.timestamp("us", tz="UTC")


def _schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema(list(types.items()))


S, N, B = pa.string(), pa.int64(), pa.bool_()

BILLING = {
    "customer": _schema(
        id=N,
        tenant=S,
        customer_number=S,
        kind=S,
        name=S,
        personnummer=S,
        organisation_number=S,
        address=S,
        postal_code=S,
        city=S,
        email=S,
        msisdn=S,
        language=S,
        protected_identity=B,
        created_at=TIME,
    ),
    "agreement": _schema(id=N, tenant=S, customer=N, started_at=TIME, ended_at=TIME),
    "service": _schema(
        id=N,
        tenant=S,
        agreement=N,
        user_customer=N,
        product=S,
        msisdn=S,
        agent_number=S,
        valid_from=TIME,
        valid_to=TIME,
    ),
    "invoice": _schema(
        id=N,
        tenant=S,
        customer=N,
        number=S,
        issued_at=TIME,
        due_at=TIME,
        amount_ore=N,
        currency=S,
        paid_at=TIME,
        disputed_at=TIME,
        claim_reference=S,
        claim_owner=S,
        claim_until=TIME,
    ),
    "number_period": _schema(id=N, tenant=S, msisdn=S, customer=N, valid_from=TIME, valid_to=TIME),
}
CALLS = {
    "call_record": _schema(
        id=N,
        tenant=S,
        started_at=TIME,
        duration_ms=N,
        kind=S,
        caller=S,
        callee=S,
        area=S,
        agent_number=S,
        invoice=N,
        withheld=B,
    ),
    "retained_call_record": _schema(id=N, tenant=S, started_at=TIME, duration_ms=N, kind=S, caller=S, callee=S, ip=S),
    "location_record": _schema(id=N, tenant=S, started_at=TIME, msisdn=S, cell=S),
}
LAKE = pa.schema([field for field in CALLS["call_record"] if field.name != "withheld"])
HELPDESK = {
    "ticket": _schema(
        id=N,
        tenant=S,
        customer_number=S,
        requester_name=S,
        requester_email=S,
        requester_phone=S,
        agent_number=S,
        subject=S,
        body=S,
        language=S,
        created_at=TIME,
        closed_at=TIME,
    ),
    "email_message": _schema(id=N, tenant=S, ticket=N, from_address=S, to_address=S, subject=S, body=S, sent_at=TIME),
    "chat": _schema(
        id=N,
        tenant=S,
        customer_number=S,
        visitor_name=S,
        visitor_email=S,
        agent_number=S,
        language=S,
        started_at=TIME,
        closed_at=TIME,
    ),
    "chat_message": _schema(id=N, tenant=S, chat=N, author=S, body=S, sent_at=TIME),
}


def columns(schema: pa.Schema, **values: object) -> pa.Table:
    """A table of that schema from one array, numpy array or list per column."""
    return pa.table([_column(values[field.name], field.type) for field in schema], schema=schema)


def rows(schema: pa.Schema, planted: list[dict]) -> pa.Table:
    """The same from rows spelled out; what a row leaves out is null."""
    return pa.Table.from_pylist(planted, schema=schema)


def _column(values: object, type: pa.DataType) -> pa.Array:
    return pc.cast(values if isinstance(values, pa.Array) else pa.array(values), type)
