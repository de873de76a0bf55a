"""slotbelld end to end: a booking that commits reaches its session over TLS, is acked, and stays acked."""

from session_client import run

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"


def test_a_booking_reaches_its_session_and_its_ack_is_kept(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            welcome = await client.welcome()
            assert welcome["mailbox"] == ADA and welcome["head"] == 0
            live = await client.receive("live")
            assert live["cursor"] == welcome["cursor"]
            uid = house.publish(ADA)
            booking = await client.receive("booking")
            assert booking["seq"] == 1 and booking["change"] == "created"
            assert booking["booking"]["uid"] == uid and booking["booking"]["version"] > 10**12
            assert booking["booking"]["starts_at"] == "2027-03-01T09:00:00Z"
            assert booking["booking"]["starts_local"] == "2027-03-01T10:00:00"
            await client.ack(booking["cursor"])
            assert (await client.receive("acked"))["cursor"] == booking["cursor"]
        async with house.client(daemon, token) as client:
            assert (await client.welcome())["cursor"] == booking["cursor"]
            await client.receive("live")

    run(story())
    assert house.ctl.query("SELECT acked FROM slotbell.device") == [1]
