"""Bodies of requests: read only from who may ask, parsed only when their values are few."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from signaling.json_bounds import MAX_VALUES, is_crowded

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class BoundedRequest(Request):
    """As Starlette's, with a bound on what its JSON may make us build."""

    async def json(self) -> Any:
        """The parsed body. Raises HTTPException 400 where it holds too many values."""
        if is_crowded(await self.body()):
            raise HTTPException(400, f"more than {MAX_VALUES} values in one body")
        return await super().json()


def bounded_route(check: Callable[[Request], object]) -> type[APIRoute]:
    """A route class whose requests pass `check`, which raises, before their body is read or parsed."""

    class BoundedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def checked(request: Request) -> Response:
                check(request)
                return await handle(BoundedRequest(request.scope, request.receive))

            return checked

    return BoundedRoute
