"""Receive packets as MessagePack and print them.

pip install websockets msgpack
python msgpack_client.py --url http://127.0.0.1:8000 --code demo --packets 80
"""

import argparse

import msgpack
from websockets.sync.client import connect


def main():
    parser = argparse.ArgumentParser(description="Receive packets as MessagePack.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server")
    parser.add_argument("--code", default="demo", help="session; it is created when it is new")
    parser.add_argument("--packets", type=int, default=80, help="how many to receive")
    args = parser.parse_args()

    url = f"{args.url.replace('http', 'ws', 1)}/stream/binary/{args.code}"
    with connect(url) as websocket:
        # The first message says what the stream is.
        stream = msgpack.unpackb(websocket.recv())["data"]
        print(
            f"{stream['dataset']}: {stream['num_channels']} channels, "
            f"{stream['frequency_hz']:g} packets a second, {stream['duration_seconds']:.1f} s"
        )
        received = lost = 0
        expected = None
        for raw in websocket:  # ends when the server closes the connection
            message = msgpack.unpackb(raw)
            if message["type"] != "data":
                continue  # a later version may send more than packets
            packet = message["data"]
            if expected is not None:
                lost += packet["sequence_number"] - expected
            expected = packet["sequence_number"] + 1
            received += 1
            if received % 20 == 1:
                spikes = sum(packet["spikes"]["spike_counts"])
                x, y = packet["kinematics"]["x"], packet["kinematics"]["y"]
                cursor = "unknown" if x is None or y is None else f"{x:.1f}, {y:.1f}"
                print(
                    f"packet {packet['packet_id']:6d}  trial {packet['trial_id']}  "
                    f"{spikes:3d} spikes  cursor {cursor}"
                )
            if received == args.packets:
                break
    print(f"received {received} packets, lost {lost}")


if __name__ == "__main__":
    main()
