"""Layers of a network and which reads which."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Node:
    """One layer of the graph.

    Attributes
    ----------
    name : str
        Unique name, without dots.
    where : str
        Place in the network: name of the module, or of the function.
    role : str
        "input", "linear", "affine", "activation", "max", "average", "shape", "sum" or "nothing".
    module : nn.Module
        What it computes.
    inputs : tuple of str
        Names of the nodes it reads.
    """

    name: str
    where: str
    role: str
    module: nn.Module
    inputs: tuple[str, ...]


class Graph:
    """Layers of a network in the order in which they run; the first is the input, the last the output."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self.nodes = nodes
        self._by_name = {node.name: node for node in nodes}

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def users(self, name: str) -> tuple[Node, ...]:
        """Nodes that read the node called `name`."""
        return tuple(node for node in self.nodes if name in node.inputs)

    def values(self, x: Tensor) -> Iterator[tuple[Node, Mapping[str, Tensor]]]:
        """Run on a batch: each node, and the values of all nodes up to it that are still needed."""
        left = {node.name: len(self.users(node.name)) for node in self.nodes}
        known: dict[str, Tensor] = {}
        for node in self.nodes:
            known[node.name] = x if node.role == "input" else node.module(*(known[name] for name in node.inputs))
            yield node, known
            for name in set(node.inputs):
                left[name] -= 1
                if not left[name]:
                    del known[name]
