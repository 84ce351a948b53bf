"""The transactions of one connection on orders and order_items, as SQL text."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

from dbmazz_sandbox.generators.values import AMOUNTS, CUSTOMERS, OrderValues

UPDATE_SHARE = 0.25
DELETE_SHARE = 0.05
TRANSACTION_ROWS = (5, 20)
ITEMS_PER_ORDER = (1, 4)
# Orders remembered per connection, to be updated and deleted later; older ones are left alone.
REMEMBERED_ORDERS = 50_000
# Half of the updates hit this many newest orders, so that some key changes again while its last change is in flight.
HOT_ORDERS = 300


@dataclass(slots=True)
class Order:
    id: int
    lines: list[int]


class OrderTransactions:
    """Writes the transactions of one connection as SQL text. No I/O, and no key of another connection.

    One multi-statement simple query is one transaction and one round trip, and saves the client binding parameters
    per row; the values are literals that psycopg rendered beforehand.
    """

    def __init__(self, rng: random.Random, values: OrderValues) -> None:
        self._rng = rng
        self._values = values
        self._live: list[Order] = []
        self._owed_updates = 0.0
        self._owed_deletes = 0.0
        self._next_delete = 1
        self.free_ids: deque[int] = deque()

    def next_transaction(self) -> tuple[str, int]:
        """SQL of one transaction and how many row events it holds."""
        rows = self._rng.randint(*TRANSACTION_ROWS)
        self._owed_updates += rows * UPDATE_SHARE
        self._owed_deletes += rows * DELETE_SHARE
        statements: list[str] = []
        changed = self._delete(statements) + self._update(statements)
        changed += self._insert(statements, rows - changed)
        return ";\n".join(statements), changed

    def _insert(self, statements: list[str], rows: int) -> int:
        rng, rests, item_rests = self._rng, self._values.order_rests, self._values.item_rests
        orders: list[str] = []
        items: list[str] = []
        while (left := rows - len(orders) - len(items)) > 0:
            order = Order(self.free_ids.popleft(), list(range(1, 1 + min(left - 1, rng.randint(*ITEMS_PER_ORDER)))))
            amount = f"{rng.uniform(-100, 5000):.2f}" if rng.random() < 0.95 else rng.choice(AMOUNTS)
            customer = rng.randint(1, 100_000) if rng.random() < 0.98 else rng.choice(CUSTOMERS)
            orders.append(f"({order.id}, {customer}, {amount}, {rests[int(rng.random() * len(rests))]})")
            items += [
                f"({order.id}, {line}, {item_rests[int(rng.random() * len(item_rests))]})" for line in order.lines
            ]
            self._live.append(order)
        if len(self._live) > REMEMBERED_ORDERS:
            del self._live[: REMEMBERED_ORDERS // 2]
        if orders:
            statements.append(
                "INSERT INTO public.orders (id, customer_id, amount, status, currency, priority, paid, tags, attributes,"
                f" note, external_ref, created_at, updated_at) VALUES {', '.join(orders)}"
            )
        if items:
            statements.append(
                "INSERT INTO public.order_items (order_id, line_no, sku, quantity, price, discount, weight, shipped_on,"
                f" gift_note) VALUES {', '.join(items)}"
            )
        return len(orders) + len(items)

    def _update(self, statements: list[str]) -> int:
        wanted = int(self._owed_updates)
        chosen = {order.id: order for order in (self._pick() for _ in range(wanted if self._live else 0))}
        orders: list[str] = []
        items: list[str] = []
        for order in chosen.values():
            if order.lines and self._rng.random() < 0.4:
                items.append(f"({order.id}, {self._rng.choice(order.lines)})")
            else:
                orders.append(str(order.id))
        if orders:
            statements.append(f"UPDATE public.orders SET {self._order_change()} WHERE id IN ({', '.join(orders)})")
        if items:
            statements.append(
                f"UPDATE public.order_items SET {self._item_change()} WHERE (order_id, line_no) IN ({', '.join(items)})"
            )
        self._owed_updates -= len(chosen)
        return len(chosen)

    def _order_change(self) -> str:
        rng, values = self._rng, self._values
        status = f"status = {rng.choice(values.statuses)}, updated_at = localtimestamp"
        return rng.choice((
            f"{status}, paid = NOT paid",
            f"{status}, amount = amount / 2, note = {rng.choice(values.notes)}",
            f"{status}, attributes = {rng.choice(values.attributes)}",
            f"{status}, tags = {rng.choice(values.tags)}, priority = NULL",
        ))  # fmt: skip

    def _item_change(self) -> str:
        return self._rng.choice((
            "quantity = 1 - quantity / 2, price = NULL",
            "discount = random(), shipped_on = current_date",
            f"weight = -weight, gift_note = {self._rng.choice(self._values.notes)}",
        ))  # fmt: skip

    def _delete(self, statements: list[str]) -> int:
        # Deletes are saved up to a random number, so that whole orders with their items go as well as single lines.
        if self._owed_deletes < self._next_delete or not self._live:
            return 0
        self._next_delete = self._rng.randint(1, 2 + ITEMS_PER_ORDER[1])
        index = int(self._rng.random() * len(self._live))
        order = self._live[index]
        if 1 + len(order.lines) <= self._owed_deletes:
            self._live[index] = self._live[-1]
            self._live.pop()
            count = 1 + len(order.lines)
            if order.lines:
                statements.append(f"DELETE FROM public.order_items WHERE order_id = {order.id}")
            statements.append(f"DELETE FROM public.orders WHERE id = {order.id}")
        elif order.lines:
            count = 1
            line = order.lines.pop()
            statements.append(f"DELETE FROM public.order_items WHERE order_id = {order.id} AND line_no = {line}")
        else:
            return 0
        self._owed_deletes -= count
        return count

    def _pick(self) -> Order:
        length = len(self._live)
        span = min(length, HOT_ORDERS) if self._rng.random() < 0.5 else length
        return self._live[length - 1 - int(self._rng.random() * span)]
