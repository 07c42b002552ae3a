"""Pictures that change while they are read, by each of the ways to get one."""

from __future__ import annotations

import pytest

from service.pictures.values import Original
from tests.conftest import Serve
from tests.stores.memory_store import MemoryStore
from tools.pictures.drawing import quarters, saved


class ChangingStore(MemoryStore):
    """A store whose pictures get another version after each of the next *changes* descriptions."""

    def __init__(self, changes: int) -> None:
        super().__init__()
        self._changes = changes

    async def find(self, contact: int, *, known: bool = False) -> Original | None:
        found = await super().find(contact, known=known)
        if self._changes:
            self._changes -= 1
            self.keep(contact, saved(quarters(40 + self._changes, 30), "JPEG"))
        return found


@pytest.mark.parametrize(("changes", "status"), [(5, 200), (100, 502)])
@pytest.mark.parametrize("agent", [False, True], ids=["picture", "agent"])
async def test_changing_picture_is_read_again_until_it_stays_or_is_a_failure(
    serve: Serve, agent: bool, changes: int, status: int
) -> None:
    store = ChangingStore(changes)
    store.keep(1, saved(quarters(), "JPEG"))
    client = await serve(adapters={"store": store})
    if agent:
        answer = await client.post(
            "/api/v1/Agents/BLOB/GetContactImage", json={"ContactId": 1}, headers={"Accept": "application/octet-stream"}
        )
    else:
        answer = await client.get("/api/v1/Contact/1/Image")
    assert answer.status == status
    if status == 200:
        stored = await store.find(1)
        assert stored is not None and await answer.read() == await store.read(stored)
