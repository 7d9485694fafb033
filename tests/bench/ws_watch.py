"""A dashboard that times what it is shown, as a process of its own: the benchmark's other work must
not delay it. Prints "ready" when subscribed; on SIGTERM one line of JSON with the latencies in
microseconds. Usage: ws_watch.py URL [DEVICE]..."""

import asyncio
import json
import signal
import sys
import time

import websockets

from measure import CLOCK_MODULUS


def latency_us(text, now_us):
    """None for what is not a reading."""
    message = json.loads(text)
    if message.get("type") != "telemetry":
        return None
    payload = message["data"].get("payload", message["data"])
    return (now_us - int(payload["t_us"])) % CLOCK_MODULUS


async def subscribe(socket, devices):
    for device in devices:
        await socket.send(json.dumps({"type": "subscribe", "device_id": device}))
    confirmed = 0
    while confirmed < len(devices):
        message = json.loads(await asyncio.wait_for(socket.recv(), 30))
        confirmed += message.get("type") == "subscription_confirmed"


async def watch(url, devices):
    latencies = []
    async with websockets.connect(url, max_queue=None, compression=None) as socket:
        await subscribe(socket, devices)
        loop = asyncio.get_running_loop()
        reader = asyncio.current_task()
        loop.add_signal_handler(signal.SIGTERM, reader.cancel)
        print("ready", flush=True)
        try:
            async for text in socket:
                value = latency_us(text, time.time_ns() // 1000)
                if value is not None:
                    latencies.append(value)
        except asyncio.CancelledError:
            pass
    print(json.dumps(latencies), flush=True)


asyncio.run(watch(sys.argv[1], sys.argv[2:]))
