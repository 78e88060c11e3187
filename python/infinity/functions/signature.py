"""From a function's type hints to the schema that the model sees and the check that its arguments get.

Both sides of the product use it: ``@tool`` of an agent, and ``Toolset.tool`` of a tool server.
Everything that can be wrong with a function is found when it is registered, never when it is called.
"""

from __future__ import annotations

import functools
import inspect
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError, create_model

from infinity.errors import ConfigError

from .failure import ToolError

_MAX_PROBLEMS = 8
"""Problems of one call that the model is told."""


class Signature:
    """The parameters of a tool's function, as a JSON schema and as a check.

    ``context`` is the name of the parameter whose type is ``of`` or below, if the function has one; it
    gets the call and is not a part of the schema.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        of: type | None = None,
        *,
        untyped: bool = False,
    ) -> None:
        """Read the signature.

        Args:
            function: the tool's function; also a ``partial`` or an object with ``__call__``.
            name: of the tool, for errors.
            of: the class of the context that the host passes; ``None`` if it passes none.
            untyped: whether parameters may be without a type hint, and take any JSON.

        Raises:
            ConfigError: the function cannot be a tool; the text says which parameter and why.
        """
        hints = _hints(function, name)
        self.context: str | None = None
        self.context_type: type | None = None
        fields: dict[str, Any] = {}
        for parameter in parameters(function, name):
            hint = hints.get(parameter.name, Any if untyped else None)
            if of is not None and isinstance(hint, type) and issubclass(hint, of):
                self.context, self.context_type = parameter.name, hint
                continue
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise ConfigError(
                    f"tool {name!r}: parameter {parameter.name!r} must have a name of its own; *args, **kwargs and positional-only parameters have none in JSON"
                )
            if hint is None:
                raise ConfigError(f"tool {name!r}: parameter {parameter.name!r} has no type hint; write one")
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hint, default)
        self._model = _model(name, fields)

    def schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of the arguments."""
        schema = self._model.model_json_schema()
        _drop_titles(schema)
        return {"type": "object", "properties": {}, **schema}

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function's types.

        Args:
            arguments: decoded JSON, as the model sent it. Names that the function does not have are
                refused.

        Raises:
            ToolError: the text says where they are wrong; at most eight problems.
        """
        try:
            checked = self._model.model_validate(dict(arguments))
        except ValidationError as error:
            raise ToolError(f"bad arguments: {_problems(error)}") from error
        return {name: checked.__dict__[name] for name in type(checked).model_fields}


def parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """The parameters of a function that is to be a tool.

    Args:
        function: any callable.
        name: of the tool, for the error.

    Raises:
        ConfigError: it has no signature that Python knows, as some builtins.
    """
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"tool {name!r}: its parameters are not known ({error}); wrap it in a function of your own"
        ) from error


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """Of the parameters alone: nobody but a type checker needs to know what it returns."""
    plain = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    # A class or an object is called by a method, and the hints are the method's.
    if not hasattr(plain, "__annotations__") or isinstance(plain, type):
        plain = getattr(plain, "__call__", plain)  # noqa: B004
    plain = inspect.unwrap(plain)
    given = {key: hint for key, hint in getattr(plain, "__annotations__", {}).items() if key != "return"}
    try:
        holder = types.SimpleNamespace(__annotations__=given)
        return get_type_hints(holder, getattr(plain, "__globals__", {}), include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise ConfigError(
            f"tool {name!r}: a type hint cannot be resolved ({error}); define the type at module level"
        ) from error


def _model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    try:
        with warnings.catch_warnings():
            # Parameters may be called "schema" or "copy"; nobody but us sees the model.
            warnings.filterwarnings("ignore", message="Field name .* shadows an attribute")
            model: type[BaseModel] = create_model(
                f"{name} arguments", __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields
            )
        # Made once to see whether it can be: some types have a check and no schema.
        model.model_json_schema()
    except (PydanticUserError, NameError, ValueError, TypeError, RecursionError) as error:
        problem = str(error).partition("\n")[0]
        raise ConfigError(f"tool {name!r}: its parameters have no JSON schema ({problem})") from error
    return model


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    texts = [
        f"{'.'.join(str(step) for step in each['loc']) or 'arguments'}: {each['msg']}"
        for each in found[:_MAX_PROBLEMS]
    ]
    if len(found) > _MAX_PROBLEMS:
        texts.append(f"and {len(found) - _MAX_PROBLEMS} more")
    return "; ".join(texts)


def _drop_titles(schema: Any) -> None:
    """Pydantic's titles repeat the names; the model pays for each of them."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for key, value in schema.items():
            if key in ("properties", "$defs"):
                for each in value.values():
                    _drop_titles(each)
            elif key not in ("default", "const", "enum", "examples"):
                _drop_titles(value)
    elif isinstance(schema, list):
        for each in schema:
            _drop_titles(each)
