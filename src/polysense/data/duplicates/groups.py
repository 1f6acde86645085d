"""Groups of members that are alike in pairs: who is like a member of a group belongs to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def groups_joined(pairs: Sequence[tuple[int, int]], count: int) -> list[int]:
    """Return for each of `count` members the first of its group; a pair is of one group."""
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(count, count))
    _, groups = connected_components(graph, directed=False)
    _, first = np.unique(groups, return_index=True)
    return first[groups].tolist()
