"""Goes on with an upload until it is whole: `python -m benchmarks._upload_client ADDRESS FILE TOKEN PIECE`."""

import sys
import time

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

TRIES = 60


def main() -> None:
    """Send the rest of the file; a server that is gone for a moment is asked again."""
    address, path, token, piece = sys.argv[1:]
    client = TusClient(address.rsplit("/", 2)[0] + "/", headers={"Authorization": f"Token {token}"})
    for attempt in range(TRIES):
        try:
            client.uploader(path, url=address, chunk_size=int(piece)).upload()
        except TusCommunicationError:
            if attempt == TRIES - 1:
                raise
            time.sleep(1)
        else:
            return


if __name__ == "__main__":
    main()
