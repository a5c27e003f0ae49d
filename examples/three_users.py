"""A session for each of three users; one of them pauses, which the others do not notice.

    pip install websockets msgpack
    python three_users.py --seconds 2

Every session has a playhead of its own: pause, seek and stop are private.
"""

import argparse
import asyncio
import json
import urllib.request

import msgpack
from websockets.asyncio.client import connect

USERS = ("alice", "bob", "carol")


def call(method, url, body=None):
    """A REST call: JSON in, JSON out."""
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


async def listen(stream_url, sequence_numbers):
    """Remember the sequence number of every packet, until cancelled."""
    async with connect(stream_url) as websocket:
        async for raw in websocket:
            message = msgpack.unpackb(raw)
            if message["type"] == "data":
                sequence_numbers.append(message["data"]["sequence_number"])


async def main():
    parser = argparse.ArgumentParser(description="Three sessions, one of them paused for a while.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each of three parts")
    args = parser.parse_args()

    codes = {}
    received = {user: [] for user in USERS}
    async with asyncio.TaskGroup() as tasks:
        listening = []
        for user in USERS:
            # Without a code the server makes one up; with {"custom_code": ...} it is yours.
            session = call("POST", f"{args.url}/api/sessions/create")
            codes[user] = session["session_code"]
            print(f"{user} listens to {codes[user]}")
            listening.append(tasks.create_task(listen(session["stream_url"], received[user])))

        parts = (("all play", None), ("bob is paused", "pause"), ("bob goes on", "resume"))
        print(f"{'':16}" + "".join(f"{user:>8}" for user in USERS))
        for name, command in parts:
            if command is not None:
                url = f"{args.url}/api/control/{codes['bob']}/{command}"
                await asyncio.to_thread(call, "POST", url)
            before = {user: len(received[user]) for user in USERS}
            await asyncio.sleep(args.seconds)
            counts = (len(received[user]) - before[user] for user in USERS)
            print(f"{name:16}" + "".join(f"{count:8d}" for count in counts))
        for task in listening:
            task.cancel()

    lost = (numbers[-1] - numbers[0] + 1 - len(numbers) for numbers in received.values())
    print(f"{'packets lost':16}" + "".join(f"{count:8d}" for count in lost))
    for code in codes.values():
        call("DELETE", f"{args.url}/api/sessions/{code}")


if __name__ == "__main__":
    asyncio.run(main())
