"""What people say, through the typed client, on real PostgreSQL over real HTTP."""

from services.consent import receipts


async def test_a_consent_given_is_answered_with_a_receipt_that_verifies_offline(company, anna):
    given = await company.give(anna, await company.notice())
    await company.until_known(given)
    receipt = await company.service.receipt(company.tenant, given.record)
    assert receipt.receipt == given.receipt
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    record = receipts.verify(receipt, jwks)
    assert record["record_id"] == str(given.record) and record["principal_id"] == str(anna)
    assert record["state"] == "given" and record["purpose"] == "communication"


async def test_the_decision_follows_giving_and_withdrawing(company, anna):
    assert not (await company.decision(anna, "development", "traffic")).decision
    given = await company.give(anna, await company.notice(), "development")
    await company.until_known(given)
    allowed = await company.decision(anna, "development", "traffic")
    assert allowed.decision and allowed.context.reason == "consent" and allowed.context.record == given.record
    withdrawn = await company.withdraw(anna, "development")
    refused = await company.decision(anna, "development", "traffic")
    assert not refused.decision and refused.context.reason == "withdrawn" and refused.context.record == withdrawn.record
