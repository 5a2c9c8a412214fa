#!/usr/bin/python3
"""A TCP link that misbehaves on purpose: it forwards to a broker and delays, stalls, drops or
cuts. It sees only TLS records, as a bad network does.

  link.py --listen 18884 --to localhost:8883 --delay-ms 50 --cut-after 400000

Prints `listening on PORT` once it does, and what it did to whom.
"""
import argparse
import asyncio
import random
import sys

PIECE = 16384


class Link:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.connections = self.cuts = 0

    async def serve(self, reader, writer):
        self.connections += 1
        number = self.connections
        host, _, port = self.options.to.rpartition(":")
        try:
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
        except OSError as error:
            print(f"{number}: nobody at {self.options.to}: {error}", flush=True)
            writer.close()
            return
        budget = [self._budget()]
        await asyncio.wait([
            asyncio.ensure_future(self._pump(reader, up_writer, None, number)),
            asyncio.ensure_future(self._pump(up_reader, writer, budget, number)),
        ], return_when=asyncio.FIRST_COMPLETED)
        for one in (writer, up_writer):
            if self.options.reset:
                one.transport.abort()
            else:
                one.close()

    def _budget(self):
        """Bytes towards the device after which this connection is cut."""
        if not self.options.cut_after:
            return None
        return self.random.randrange(self.options.cut_after // 2, self.options.cut_after * 3 // 2)

    async def _pump(self, reader, writer, budget, number):
        options = self.options
        try:
            while True:
                piece = await reader.read(PIECE)
                if not piece:
                    return
                if options.delay_ms:
                    await asyncio.sleep(options.delay_ms / 1000 * self.random.uniform(0.5, 1.5))
                if options.stall and self.random.random() < 0.01:
                    await asyncio.sleep(options.stall)
                if options.rate:
                    await asyncio.sleep(len(piece) / options.rate)
                if budget and budget[0] is not None:
                    budget[0] -= len(piece)
                    if budget[0] < 0:
                        self.cuts += 1
                        print(f"{number}: cut", flush=True)
                        if options.black_hole:
                            await asyncio.sleep(options.black_hole)
                        return
                writer.write(piece)
                await writer.drain()
        except OSError:
            return


async def run(options):
    link = Link(options)
    server = await asyncio.start_server(link.serve, options.bind, options.listen)
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bind", default="0.0.0.0")
    parser.add_argument("--listen", type=int, default=0, help="port; 0: a free one")
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--rate", type=float, default=0, help="bytes a second and direction")
    parser.add_argument("--stall", type=float, default=0, help="seconds, one piece in a hundred")
    parser.add_argument("--cut-after", type=int, default=0,
                        help="bytes towards the device, about, then the connection ends")
    parser.add_argument("--reset", action="store_true", help="… by a reset")
    parser.add_argument("--black-hole", type=float, default=0,
                        help="… after so many silent seconds")
    parser.add_argument("--seed", type=int, default=1)
    try:
        asyncio.run(run(parser.parse_args()))
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
