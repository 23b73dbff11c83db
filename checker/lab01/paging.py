"""Pages: each held by one sequence or free, no more of them than needed, and the rows in them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from checker.faults import show
from checker.lab01 import causes
from checker.lab01.faults import Fault, of_words
from checker.lab01.playing import Step
from checker.lab01.schemas import Ask
from checker.language import _


class Paging:
    """The answers of one case's "pages" operations, in their order."""

    def __init__(self, case: Ask) -> None:
        self.case, self.before = case, Step()

    def fault(self, n: int, must: Step, does: Step) -> Fault | None:
        """What is wrong with operation ``n``; ``must`` says how many pages are held, and every row."""
        before, self.before = self.before, does
        if does.raised:
            message = _("tables, free or pool could not be read.")
            return Fault(message, _("no exception"), does.said or does.raised, causes=causes.PAGES)
        case, pages, size = self.case, self.case.pages or 0, self.case.slots
        if len(does.numbers) != case.batch + 1:
            message = _("There must be one page table for each sequence.")
            return Fault(message, show(case.batch), show(len(does.numbers) - 1), ": tables", causes=causes.PAGES)
        *tables, free = does.numbers
        times = Counter(page for some in does.numbers for page in some)
        for page in sorted({*range(pages), *times}):
            if times[page] != (page < pages and page >= 0):
                return self._of_a_page(page, tables, free)
        for b, (table, held) in enumerate(zip(tables, must.numbers[0], strict=True)):
            if len(table) != held:
                message = _("A sequence holds another number of pages than its slots need.")
                return Fault(message, show(held), show(len(table)), f": tables[{b}]", causes=causes.PAGES)
        shape = (pages, case.layers, 2, case.kv_heads, size, case.head_dim)
        pool = does.arrays[0]
        if pool.shape != shape or pool.dtype != must.arrays[0].dtype:
            message = _("{name} has another shape, or numbers of another width.").format(name="pool")
            return Fault(message, show(list(shape)), show(list(pool.shape)), ": pool", causes=causes.SHAPE)
        if case.ops[n].get("unchanged") and (before.numbers[:-1], sorted(before.numbers[-1])) != (tables, sorted(free)):
            message = _("append refused, and pages have changed hands all the same.")
            return Fault(message, show(before.numbers), show(does.numbers), ": tables, free", causes=causes.PAGES)
        return self._of_rows(must, tables, pool)

    def _of_a_page(self, page: int, tables: list[list[int]], free: list[int]) -> Fault:
        holders = [f"tables[{b}]" for b, table in enumerate(tables) for other in table if other == page]
        holders += ["free" for other in free if other == page]
        message = _("A page belongs to one sequence, or it is free: never both, never to two, never to nobody.")
        pages = self.case.pages or 0
        expected = _("in one of them, once") if 0 <= page < pages else _("pages 0 to {last}").format(last=pages - 1)
        return Fault(
            message,
            expected,
            ", ".join(holders) or _("in none"),
            ": " + _("page {page}").format(page=page),
            causes=causes.PAGES,
        )

    def _of_rows(self, must: Step, tables: list[list[int]], pool: np.ndarray) -> Fault | None:
        data, size = must.arrays[0], self.case.slots
        for layer, cursors in enumerate(must.cursors):
            for b, length in enumerate(cursors):
                for slot in range(length):
                    page, place = tables[b][slot // size], slot % size
                    for pair in range(2):
                        right, found = data[layer, pair, b, :, slot], pool[page, layer, pair, :, place]
                        if (right != found).any():
                            head, dim = (int(i) for i in np.argwhere(right != found)[0])
                            message = _("The pool does not hold the rows that were appended.")
                            row = (layer, pair, b, head, slot)
                            n = int((right != found).sum())
                            return of_words(message, right[head], found[head], row, dim, n, right.size)
        return None
