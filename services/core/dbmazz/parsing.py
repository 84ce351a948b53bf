"""A request that is no message of its type is the caller's mistake: INVALID_ARGUMENT with the type's name.

The library would answer UNKNOWN with the parser's own words, and log a traceback for each.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError

from dbmazz.errors import BAD_REQUEST, abort

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]]


class Malformed(Exception):
    """A message of a stream that cannot be parsed."""


class ParsingInterceptor(grpc.aio.ServerInterceptor):
    """Parses requests itself. What is sent is left to the library, so the large messages of the data path pay nothing."""

    def __init__(self) -> None:
        self._checked: dict[str, grpc.RpcMethodHandler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        checked = self._checked.get(method)
        if checked is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            # Only methods that exist get here, so the cache is as small as the service.
            checked = self._checked[method] = _checked(handler, method)
        return checked


def _checked(handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler:
    """The same handler, with a parser that answers for itself. Handlers that are not async are left as they are."""
    parse, write = handler.request_deserializer, handler.response_serializer
    if parse is None:
        return handler
    if handler.request_streaming:
        behavior = handler.stream_stream or handler.stream_unary
        make = grpc.stream_stream_rpc_method_handler if handler.stream_stream else grpc.stream_unary_rpc_method_handler
        wrapped, parser = _stream(behavior, method), _raising(parse)
    else:
        behavior = handler.unary_stream or handler.unary_unary
        make = grpc.unary_stream_rpc_method_handler if handler.unary_stream else grpc.unary_unary_rpc_method_handler
        wrapped, parser = _unary(behavior, parse, method), None
    return handler if wrapped is None else make(wrapped, parser, write)


def _unary(behavior: Callable, parse: Callable[[bytes], Any], method: str) -> Callable | None:
    """Gets the bytes, because the library parses before it calls."""
    if inspect.isasyncgenfunction(behavior):

        async def generated(body: bytes, context: grpc.aio.ServicerContext):
            try:
                request = parse(body)
            except DecodeError:
                await _refuse(context, method)
            async with contextlib.aclosing(behavior(request, context)) as responses:
                async for response in responses:
                    yield response

        return generated
    if not inspect.iscoroutinefunction(behavior):
        return None

    async def answered(body: bytes, context: grpc.aio.ServicerContext):
        try:
            request = parse(body)
        except DecodeError:
            await _refuse(context, method)
        return await behavior(request, context)

    return answered


def _stream(behavior: Callable, method: str) -> Callable | None:
    """Messages are parsed as the servicer reads them; what that raises comes out of it, alone or in a TaskGroup's group."""
    if inspect.isasyncgenfunction(behavior):

        async def generated(requests, context: grpc.aio.ServicerContext):
            try:
                async with contextlib.aclosing(behavior(requests, context)) as responses:
                    async for response in responses:
                        yield response
            except (Malformed, BaseExceptionGroup) as error:
                await _refuse_malformed(error, context, method)

        return generated
    if not inspect.iscoroutinefunction(behavior):
        return None

    async def answered(requests, context: grpc.aio.ServicerContext):
        try:
            return await behavior(requests, context)
        except (Malformed, BaseExceptionGroup) as error:
            await _refuse_malformed(error, context, method)

    return answered


def _raising(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parsed(body: bytes) -> Any:
        try:
            return parse(body)
        except DecodeError:
            raise Malformed from None

    return parsed


async def _refuse_malformed(error: BaseException, context: grpc.aio.ServicerContext, method: str) -> NoReturn:
    """For a malformed message; anything else stays what it is."""
    if isinstance(error, BaseExceptionGroup):
        ours, others = error.split(Malformed)
        if others is not None or ours is None:
            raise error
    await _refuse(context, method)


async def _refuse(context: grpc.aio.ServicerContext, method: str) -> NoReturn:
    service, _, name = method.lstrip("/").partition("/")
    try:
        message = descriptor_pool.Default().FindMethodByName(f"{service}.{name}").input_type.full_name
    except KeyError:  # a service whose protos are not in this process's pool
        message = f"the request of {service}/{name}"
    await abort(
        context,
        grpc.StatusCode.INVALID_ARGUMENT,
        BAD_REQUEST,
        f"the body is not a {message}. Does the caller have the protos of this version? Reflection hands them out",
    )
    raise AssertionError("abort does not return")
