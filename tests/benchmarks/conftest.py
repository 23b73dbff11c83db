"""A pretended GPU: the CPU under its name, whose times are made up."""

import pytest
import torch

from benchmarks import gpu


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every peer of a race runs once, on the CPU, and is said to have taken 20 µs; the second one 25."""

    def graph_times(peers: gpu.Peers, n: int, keep: int = 1, around: gpu.Around = gpu.nothing) -> gpu.Times:
        for peer, call in peers.items():
            with around(peer):
                call(0)
        return {peer: [(20 + 5 * i) * 1e-6] * 11 for i, peer in enumerate(peers)}

    monkeypatch.setattr(gpu, "DEVICE", "cpu")
    monkeypatch.setattr(gpu, "graph_times", torch.no_grad()(graph_times))
    monkeypatch.setattr(gpu, "copies", lambda bytes_each: 3)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
