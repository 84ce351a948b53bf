"""Supervises two fake services until it is killed: `keeper.py FAKE_SERVICE JOURNAL`."""

import asyncio
import os
import sys

from dbmazz_cli.child import Program
from dbmazz_cli.supervisor import supervised


async def main(fake: str, journal: str) -> None:
    def program(name: str, behaviour: str) -> Program:
        return Program(name, (sys.executable, "-S", fake, journal, name, behaviour), dict(os.environ))

    stages = [[program("reader", "good")], [program("loader", "deaf")]]
    async with supervised(stages, lambda name, line: None):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
