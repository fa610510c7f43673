"""Exports a model to ONNX and safetensors: `python src/export.py ckpt_path=RUN/checkpoints/best.ckpt`."""

import logging

from autoencoder.cli.command import command, in_sweep
from autoencoder.cli.process import imports_done
from autoencoder.errors import InputError
from autoencoder.limits import Text

log = logging.getLogger(__name__)


@command()
def export(ckpt_path: Text, allow_packages: list[Text], output: Text | None, paths: dict[str, str]) -> None:
    """Restores the model of the checkpoint and writes the folder `output`, by default `export` in the run folder."""
    from autoencoder.cli.noise import silence_known_noise
    from autoencoder.paths import absolute
    from autoencoder.runs.checkpoints import load
    from autoencoder.runs.export import FILES, check_output, write_export
    from autoencoder.runs.folder import RunFolder, write_metrics
    from autoencoder.runs.onnx_files import check_packages_of_onnx

    imports_done()
    silence_known_noise()
    if output and in_sweep():
        raise InputError("output is a single folder, but -m writes several: leave it out, exports go to the jobs' own")
    check_packages_of_onnx()
    folder = RunFolder(paths["output_dir"])
    folder.metrics.unlink(missing_ok=True)  # from an earlier export: this file marks a job as finished
    run = RunFolder.of_checkpoint(ckpt_path) or RunFolder(absolute(ckpt_path).parent)
    # A sweep may export several checkpoints of one run: each goes to its job's own folder.
    target = absolute(output or (folder if in_sweep() else run).export)
    module = load(ckpt_path, allow_packages)
    check_output(target)
    differences = write_export(module, target, allow_packages)
    written = {"ckpt_path": str(absolute(ckpt_path)), "export": str(target), "latent_dim": module.latent_dim}
    write_metrics(written | {"status": "finished"}, folder.metrics)
    log.info(
        "%s: %s\nlargest difference of onnxruntime to torch: %.1e in latents, %.1e in reconstructions",
        *(target, ", ".join(FILES), *differences),
    )


if __name__ == "__main__":
    export.main()
