"""``infinity layer``: the layer for AWS Lambda, and whether it runs there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import dim, print_json, strong, warn
from .exits import USAGE, Failure, from_error
from .options import as_json

if TYPE_CHECKING:
    from infinity.cloud.layer import Layer

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
    "--python-version", metavar="X.Y", help="Of the Lambda runtime. [default: this one's, at least 3.12]"
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
    help="Where the zips go.",
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

    from infinity.cloud import layer as layers
    from infinity.cloud.layer_dependencies import Wanted
    from infinity.cloud.layer_python import default_version, interpreter_of
    from infinity.cloud.layer_python import python_version as parsed
    from infinity.cloud.layer_wheel import newest_wheel
    from infinity.errors import InfinityError

    if python and no_bytecode:
        raise Failure("--python is for the bytecode that --no-bytecode leaves out", USAGE)
    try:
        target = parsed(python_version) if python_version else default_version()
        interpreter = None if no_bytecode else interpreter_of(target, python)
        wanted = Wanted(more, files, with_boto3)
        made = []
        for wheel in wheels or (newest_wheel(Path("dist"), version("infinity-runtime")),):
            made.append(layers.build(layers.Order(wheel, target, interpreter, wanted, out)))
            if not as_json:
                _show(made[-1])
    except InfinityError as error:
        raise from_error(error) from error
    except OSError as error:
        raise Failure(f"{error.filename or out} cannot be written: {error.strerror}") from error
    if as_json:
        print_json([_fields(one) for one in made])


def _fields(made: Layer) -> dict[str, Any]:
    return {
        "file": str(made.path),
        "zipped_bytes": made.zipped,
        "unpacked_bytes": made.unpacked,
        **asdict(made.manifest),
    }


def _show(made: Layer) -> None:
    from infinity.cloud.layer import DIRECT_UPLOAD, UNPACKED

    manifest = made.manifest
    click.echo(strong(str(made.path)))
    click.echo(
        f"  zipped    {_size(made.zipped)} of {DIRECT_UPLOAD // 2**20} MiB that can be uploaded directly"
    )
    click.echo(f"  unpacked  {_size(made.unpacked)} of {UNPACKED // 2**20} MiB for a function and its layers")
    click.echo(f"  runtime   python{manifest.python}, {_lambda_name(manifest.architecture)}")
    click.echo(f"  wheel     {manifest.wheel}")
    click.echo(f"  sha256    {manifest.wheel_sha256}")
    click.echo(dim("  " + " · ".join(f"{name} {_size(size)}" for name, size in made.largest[:6])))
    if not manifest.bytecode:
        click.echo(warn("  no bytecode: cold starts take about twice as long"))
    if made.zipped > DIRECT_UPLOAD:
        click.echo(warn("  too big to be uploaded directly; it goes through S3, as the CDK does it"))


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def _lambda_name(architecture: str) -> str:
    return "arm64" if architecture == "aarch64" else architecture
