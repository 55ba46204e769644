"""Recordings: several readers, each at its own pace, and bounds on what is kept."""

from __future__ import annotations

import asyncio

from gateway.errors import UpstreamFault
from gateway.runner.recording import Reader, Recording


class Socket:
    """Takes what a reader writes; full after `room` writes, which it says like a transport does."""

    def __init__(self, recording: Recording, room: int = 1_000_000) -> None:
        self.data = b""
        self.reader = Reader(recording, self)
        self.room = room

    def write(self, data: bytes) -> None:
        self.data += data
        self.room -= 1
        if self.room == 0:
            self.reader.flow(False)

    def drain(self, room: int = 1_000_000) -> None:
        self.room = room
        self.reader.flow(True)


class Source:
    """Notes whether it was paused."""

    def __init__(self) -> None:
        self.flowing = True

    def flow(self, on: bool) -> None:
        self.flowing = on


async def done(reader: Reader) -> bool:
    """Whether there is nothing more to come for this reader."""
    task = asyncio.ensure_future(reader.read_all())
    for _ in range(3):
        await asyncio.sleep(0)
    if not task.done():
        task.cancel()
        return False
    return True


async def test_what_is_new_is_written_in_the_same_callback() -> None:
    recording = Recording(1000)
    recording.begin({})
    socket = Socket(recording)
    recording.join(socket.reader)
    for part in (b"a", b"b"):
        recording.write(part)
        assert socket.data.endswith(part)
    assert not await done(socket.reader)
    recording.end()
    assert await done(socket.reader)


async def test_readers_at_different_pace_get_the_same_bytes() -> None:
    recording = Recording(10_000)
    recording.begin({})
    quick, slow = Socket(recording), Socket(recording, room=1)
    recording.join(quick.reader)
    recording.join(slow.reader)
    for number in range(50):
        recording.write(b"%d," % number)
    late = Socket(recording)
    recording.join(late.reader)
    assert late.data == quick.data
    assert slow.data == b"0,"
    recording.end()
    assert await done(quick.reader)
    assert not await done(slow.reader), "it has not got all of it"
    slow.drain()
    assert slow.data == quick.data == late.data == recording.whole
    assert await done(slow.reader)


async def test_who_comes_after_the_end_gets_all_of_it() -> None:
    recording = Recording(1000)
    recording.begin({})
    recording.write(b"all")
    recording.end()
    socket = Socket(recording)
    recording.join(socket.reader)
    assert socket.data == b"all"
    assert await done(socket.reader)


async def test_a_reader_may_skip_what_it_has() -> None:
    recording = Recording(1000)
    recording.begin({})
    recording.write(b"one")
    recording.write(b"two")
    socket = Socket(recording)
    recording.join(socket.reader, pick=lambda seen: seen[3:])
    recording.write(b"three")
    assert socket.data == b"twothree"


async def test_beyond_the_limit_a_source_that_can_wait_waits_for_the_slowest() -> None:
    recording, source = Recording(100), Source()
    recording.begin({}, source.flow)
    quick, slow = Socket(recording), Socket(recording, room=2)
    recording.join(quick.reader)
    recording.join(slow.reader)
    for _ in range(20):
        recording.write(b"x" * 10)
    assert recording.too_large
    assert not recording.cut_off
    assert recording.beginning_lost
    assert not source.flowing
    assert len(recording.whole) == 18 * 10, "only what somebody has still to read"
    slow.drain()
    assert source.flowing
    assert recording.whole == b""
    assert slow.data == quick.data


async def test_beyond_the_limit_a_source_that_cannot_wait_sends_its_readers_away() -> None:
    recording = Recording(25)
    recording.begin({})
    quick, slow = Socket(recording), Socket(recording, room=1)
    recording.join(quick.reader)
    recording.join(slow.reader)
    ends = asyncio.ensure_future(recording.wait_end())
    for _ in range(5):
        recording.write(b"x" * 10)
    assert (recording.cut_off, recording.whole, quick.data) == (True, b"", b"x" * 20)
    assert await done(quick.reader)
    assert await done(slow.reader)
    slow.drain()
    assert slow.data == b"x" * 10, "what is not there any more is not made up"
    late = Socket(recording)
    recording.join(late.reader)
    assert await done(late.reader)
    await asyncio.sleep(0)
    assert not ends.done()
    recording.end()
    await ends


async def test_it_is_abandoned_when_it_cannot_be_kept_and_nobody_reads() -> None:
    times: list[int] = []
    recording = Recording(10, lambda: times.append(1))
    recording.begin({}, Source().flow)
    socket = Socket(recording)
    recording.join(socket.reader)
    recording.write(b"x" * 20)
    assert times == []
    recording.leave(socket.reader)
    assert times == [1]


async def test_nothing_is_kept_with_a_limit_of_nothing() -> None:
    recording = Recording(0)
    recording.write(b"x")
    assert (recording.cut_off, recording.whole) == (True, b"")


async def test_waiting_for_the_beginning_and_for_a_fault() -> None:
    recording = Recording(10)
    waits = asyncio.ensure_future(recording.wait())
    await asyncio.sleep(0)
    recording.begin({"a": "b"})
    await waits
    ends = asyncio.ensure_future(recording.wait_end())
    await asyncio.sleep(0)
    fault = UpstreamFault("x")
    recording.fail(fault)
    await ends
    assert (recording.ended, recording.fault, recording.headers) == (True, fault, {"a": "b"})


async def test_a_whole_answer_at_once() -> None:
    recording = Recording(10)
    recording.give(201, {}, b"x" * 20, streamed=False)
    assert (recording.begun, recording.ended, recording.status, recording.whole) == (True, True, 201, b"x" * 20)
    assert not recording.beginning_lost


async def test_a_silent_recording_is_kept_alive_only_while_it_is_silent() -> None:
    recording = Recording(1000)
    recording.begin({})
    socket = Socket(recording)
    recording.join(socket.reader)
    alive = asyncio.Event()
    reading = asyncio.ensure_future(socket.reader.read_all(0.001, alive.set))
    async with asyncio.timeout(30):
        await alive.wait()
    recording.end()
    await reading
    busy = Socket(recording)
    recording.join(busy.reader)
    await busy.reader.read_all(0.001, lambda: (_ for _ in ()).throw(AssertionError))
