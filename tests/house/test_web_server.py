"""What a web process does before its first request."""

import gc

from config import web_server


def test_the_garbage_collector_leaves_alone_what_was_loaded() -> None:
    try:
        web_server.settle()
        loaded = gc.get_freeze_count()
        rubbish: list[object] = []
        rubbish.append(rubbish)

        assert loaded > 50_000
        assert len(gc.get_objects()) < loaded / 10
        del rubbish
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
