"""``infinity layer``: the layer for AWS Lambda, and whether it runs there.

The work is done by ``infinity.deploy.layer``, which is imported when a command runs; here are the options
and the words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from .display import clean, dim, print_json, strong, warn
from .exits import USAGE, Failure
from .options import as_json

if TYPE_CHECKING:
    from infinity.deploy.layer.build import Layer
    from infinity.deploy.layer.check import Checked

__all__ = ["layer"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def layer() -> None:
    """Build the layer for AWS Lambda: the wheel that runs elsewhere too, and what the cloud host imports.

    \b
    Examples:
      infinity layer build
      infinity layer check dist/infinity-layer-0.1.0-cp312-x86_64.zip
    """


@layer.command(
    epilog="""\b
Examples:
  infinity layer build                          the newest wheel in dist/
  infinity layer build --wheel a.whl --wheel b.whl
  infinity layer build --with anthropic --requirements agent/requirements.txt

One zip for each wheel. Binary wheels only; pip fetches them for Lambda's Python and processor.""",
)
@click.option(
    "--wheel",
    "wheels",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The abi3 manylinux wheel of Infinity, x86_64 or aarch64; again for the other. [default: the newest in dist/]",
)
@click.option(
    "--python-version",
    metavar="X.Y",
    help="Python version of the Lambda runtime. [default: this one's, at least 3.12]",
)
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python of that version, to compile with. [default: the one that is found]",
)
@click.option(
    "--no-bytecode", is_flag=True, help="Leave the compiling to Lambda. Cold starts take twice as long."
)
@click.option(
    "--with",
    "more",
    multiple=True,
    metavar="PACKAGE",
    help="Something else: a requirement, such as anthropic for its SDK.",
)
@click.option(
    "--requirements",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="pip's file of what your functions need.",
)
@click.option("--with-boto3", is_flag=True, help="A boto3 of your own instead of the runtime's.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="dist",
    show_default=True,
    help="Folder for the zips.",
)
@as_json
def build(
    wheels: tuple[Path, ...],
    python_version: str | None,
    python: Path | None,
    no_bytecode: bool,
    more: tuple[str, ...],
    files: tuple[Path, ...],
    with_boto3: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Make a layer of the wheel, its dependencies and their bytecode."""
    from importlib.metadata import version

    from infinity.deploy.layer import build as layers
    from infinity.deploy.layer.dependencies import Wanted
    from infinity.deploy.layer.python import default_version, interpreter_of
    from infinity.deploy.layer.python import python_version as parsed
    from infinity.deploy.layer.wheel import newest_wheel

    if python and no_bytecode:
        raise Failure("--python is for the bytecode that --no-bytecode leaves out", USAGE)
    try:
        target = parsed(python_version) if python_version else default_version()
        interpreter = None if no_bytecode else interpreter_of(target, python)
        wanted = Wanted(more, files, with_boto3)
        made = []
        # Shown as soon as it is made: each takes a while.
        for wheel in wheels or (newest_wheel(Path("dist"), version("infinity-runtime")),):
            made.append(layers.build(layers.Order(wheel, target, interpreter, wanted, out)))
            if not as_json:
                _show(made[-1])
    except OSError as error:
        raise Failure(f"{error.filename or out} cannot be written: {error.strerror}") from error
    if as_json:
        print_json([_fields(one) for one in made])


@layer.command(
    epilog="""\b
Examples:
  infinity layer check dist/infinity-layer-0.1.0-cp312-x86_64.zip
  infinity layer check LAYER.zip --code agent/ --env INFINITY_STORE=postgresql://… --event message.json

Without --env the services are unreachable: the handler starts, and says what it misses."""
)
@click.argument("file", metavar="ZIP", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--handler", metavar="MODULE.NAME", help="[default: infinity.cloud.handlers.agent]")
@click.option(
    "--code",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The function's own folder, which Lambda has in /var/task.",
)
@click.option("--env", "pairs", multiple=True, metavar="NAME=VALUE", help="A variable of the function.")
@click.option(
    "--event",
    type=click.File("r"),
    help="A JSON file with what it is invoked with. [default: a batch without messages]",
)
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python of the layer's version. [default: the one that is found]",
)
@click.option(
    "--runtime",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with awslambdaric. [default: this environment's, else from PyPI]",
)
@as_json
def check(
    file: Path,
    handler: str | None,
    code: Path | None,
    pairs: tuple[str, ...],
    event: IO[str] | None,
    python: Path | None,
    runtime: Path | None,
    as_json: bool,
) -> None:
    """Unpack a layer as Lambda does, and run a handler from it in a Python that has nothing else."""
    from infinity.deploy.layer.check import HANDLER, Trial
    from infinity.deploy.layer.check import check as tried

    environment = dict(pair.partition("=")[::2] for pair in pairs)
    try:
        happening = json.load(event) if event else {"Records": []}
        trial = Trial(file, handler or HANDLER, happening, code, environment, python, runtime)
        found = tried(trial)
    except ValueError as error:
        raise Failure(f"{event.name if event else file} is not JSON: {error}") from error
    if as_json:
        print_json(asdict(found))
    else:
        _show_check(trial.handler, found)
    # Services that are not there are none of the layer's faults; what it cannot import is.
    if found.problem and (environment or found.problem.startswith("Runtime.")):
        raise Failure(f"the handler ended with {found.problem}")


def _show_check(handler: str, found: Checked) -> None:
    manifest = found.manifest
    click.echo(f"  wheel     {manifest.wheel}: {found.files} files, unchanged")
    click.echo(f"  sha256    {manifest.wheel_sha256}")
    click.echo(f"  binaries  {_binaries(found.binaries, found.glibc)}")
    _show_ignored(found.ignored)
    click.echo(f"  start     {handler} in {found.init_wall:.0f} ms, {found.init_cpu:.0f} ms of CPU")
    click.echo(f"  memory    {_size(found.peak)} at most")
    click.echo(f"  imported  {', '.join(f'{name} {count}' for name, count in found.packages.items())}")
    if found.uncompiled:
        click.echo(
            warn(
                f"  compiled anew at each cold start: {len(found.uncompiled)} modules, such as {found.uncompiled[0]}"
            )
        )
    if found.problem is None:
        click.echo(f"  answered  {json.dumps(found.answer)[:200]} after {found.first_wall:.0f} ms")
    else:
        text = found.answer.get("errorMessage", "") if isinstance(found.answer, dict) else str(found.answer)
        click.echo(f"  answered  {found.problem}: {clean(text)[:600]}")


def _fields(made: Layer) -> dict[str, Any]:
    return {
        "file": str(made.path),
        "zipped_bytes": made.zipped,
        "unpacked_bytes": made.unpacked,
        "stripped_bytes": made.stripped.saved,
        "strip": made.stripped.tool or None,
        "binaries": made.binaries,
        "glibc": ".".join(map(str, made.glibc)),
        "ignored": list(made.ignored),
        **asdict(made.manifest),
    }


def _show(made: Layer) -> None:
    from infinity.deploy.layer.archive import LEFT_OUT
    from infinity.deploy.layer.build import DIRECT_UPLOAD, UNPACKED

    manifest = made.manifest
    click.echo(strong(str(made.path)))
    click.echo(
        f"  zipped    {_size(made.zipped)} of {DIRECT_UPLOAD // 2**20} MiB that can be uploaded directly"
    )
    click.echo(f"  unpacked  {_size(made.unpacked)} of {UNPACKED // 2**20} MiB for a function and its layers")
    click.echo(f"  symbols   {_symbols(made)}")
    click.echo(f"  binaries  {_binaries(made.binaries, made.glibc)}")
    _show_ignored(made.ignored)
    click.echo(f"  runtime   python{manifest.python}, {_lambda_name(manifest.architecture)}")
    click.echo(f"  wheel     {manifest.wheel}, without {', '.join(LEFT_OUT)}")
    click.echo(f"  sha256    {manifest.wheel_sha256}")
    click.echo(dim("  " + " · ".join(f"{name} {_size(size)}" for name, size in made.largest[:6])))
    if not manifest.bytecode:
        click.echo(warn("  no bytecode: cold starts take about twice as long"))
    if made.zipped > DIRECT_UPLOAD:
        click.echo(warn("  too big to be uploaded directly; it goes through S3, as the CDK does it"))


def _symbols(made: Layer) -> str:
    tool, saved, kept = made.stripped
    if not tool:
        return warn(
            "the debug symbols of dependencies are left in (about a quarter of the size): no strip for this processor was found; install binutils or LLVM"
        )
    left = f"; {kept} files were left as they are" if kept else ""
    return f"{_size(made.unpacked + saved)} before {tool} took {_size(saved)} of debug symbols out of the dependencies{left}"


def _binaries(count: int, glibc: tuple[int, int]) -> str:
    needs = f", which need glibc {'.'.join(map(str, glibc))} at most" if count else ""
    return f"{count} for this runtime{needs}"


def _show_ignored(ignored: Sequence[str]) -> None:
    if ignored:
        more = f" (and {len(ignored) - 3} more)" if len(ignored) > 3 else ""
        click.echo(
            warn(f"  cannot run there, and no import loads them: {clean('; '.join(ignored[:3]))}{more}")
        )


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def _lambda_name(architecture: str) -> str:
    return "arm64" if architecture == "aarch64" else architecture
