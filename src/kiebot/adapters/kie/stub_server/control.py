"""
The stub server's own endpoints, `/stub/...`: asking for faults, and seeing what happened.
"""

import json
from decimal import Decimal
from typing import TYPE_CHECKING

from aiohttp import web

from kiebot.adapters.kie.stub_server import faults
from kiebot.adapters.kie.stub_server.families import number

if TYPE_CHECKING:
    from kiebot.adapters.kie.stub_server.server import StubServer


class Control:
    """Handlers for people, and for programs that are not in the server's process."""

    def __init__(self, server: "StubServer") -> None:
        self._server = server

    def add_to(self, app: web.Application) -> None:
        """Its routes."""
        app.router.add_get("/", self._about)
        app.router.add_get("/stub/faults", self._show_faults)
        app.router.add_post("/stub/faults", self._add_faults)
        app.router.add_delete("/stub/faults", self._clear_faults)
        app.router.add_get("/stub/tasks", self._show_tasks)
        app.router.add_get("/stub/calls", self._show_calls)
        app.router.add_get("/stub/counts", self._show_counts)
        app.router.add_post("/stub/balance", self._set_balance)

    async def _about(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 - aiohttp's
        address = self._server.address
        lines = [
            "kiebot stub-kie: answers as kie.ai does. Nothing here is real.",
            f"KIE_API_URL={address} KIE_UPLOAD_URL={address} KIE_API_TOKEN=any",
            "GET /stub/tasks, /stub/calls, /stub/counts, /stub/faults",
            "POST /stub/faults, /stub/balance; DELETE /stub/faults",
        ]
        return web.Response(text="\n".join(lines) + "\n")

    async def _show_faults(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002
        return web.json_response([faults.to_json(fault) for fault in self._server.coming])

    async def _add_faults(self, request: web.Request) -> web.StreamResponse:
        try:
            found = faults.from_json(json.loads(await request.read()))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        self._server.script(*found)
        return await self._show_faults(request)

    async def _clear_faults(self, request: web.Request) -> web.StreamResponse:
        self._server.clear_script()
        return await self._show_faults(request)

    async def _show_tasks(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002
        now_ms = self._server.settle()
        shown = [
            {
                "id": task.id,
                "model": task.model.name,
                "state": str(task.phase(now_ms)),
                "fault": None if task.fault is None else str(task.fault.kind),
                "credits": number(task.cost if not task.is_settled else task.taken),
                "created_ms": task.created_ms,
                "body": task.body,
            }
            for task in self._server.tasks.values()
        ]
        return web.json_response(shown)

    async def _show_calls(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002
        shown = [
            {
                "at": asked.at.isoformat(),
                "method": asked.method,
                "path": asked.path,
                "query": dict(asked.query),
                "model": asked.model,
                "body": asked.body,
                "task_id": asked.task_id,
                "http": asked.http,
                "code": asked.code,
            }
            for asked in self._server.asked
        ]
        return web.json_response(shown)

    async def _show_counts(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002
        counts = self._server.counts
        shown = {
            "creates": counts.creates,
            "creates_refused": counts.creates_refused,
            "most_creates_in_10s": counts.most_creates_in_10s,
            "queries": counts.queries,
            "queries_refused": counts.queries_refused,
            "most_queries_in_1s": counts.most_queries_in_1s,
            "tasks": len(self._server.tasks),
            "uploads": self._server.uploads,
            "callbacks": len(self._server.posts),
            "balance": number(self._server.balance),
        }
        return web.json_response(shown)

    async def _set_balance(self, request: web.Request) -> web.StreamResponse:
        try:
            given = json.loads(await request.read())["credits"]
        except (ValueError, KeyError, TypeError):
            given = None
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1e9:
            return web.json_response({"error": 'give {"credits": 0} or more'}, status=400)
        self._server.balance = Decimal(str(given))
        return web.json_response({"credits": number(self._server.balance)})
