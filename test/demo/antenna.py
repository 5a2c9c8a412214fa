"""The radio of a demo device: the agent connects to `port`, the running firmware dials `dial`;
what comes in at one side goes out at the other. Nothing gets through that no firmware carries."""
import asyncio
import threading


async def _pour(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


class Antenna:
    def __init__(self):
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        self._dialled = []
        up = await asyncio.start_server(self._agent, "127.0.0.1", 0)
        dial = await asyncio.start_server(self._firmware, "127.0.0.1", 0)
        self.port = up.sockets[0].getsockname()[1]
        self.dial = dial.sockets[0].getsockname()[1]
        self._ready.set()
        await asyncio.Event().wait()

    async def _firmware(self, reader, writer):
        """A firmware holds a line ready. The broker does not speak first, so whatever can be read
        before an agent has come is the end of the line."""
        line = (reader, writer)
        self._dialled.append(line)

    def _take_line(self):
        while self._dialled:
            reader, writer = self._dialled.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None

    async def _agent(self, reader, writer):
        line = self._take_line()
        if line is None:
            writer.close()
            return
        await asyncio.gather(_pour(reader, line[1]), _pour(line[0], writer))
