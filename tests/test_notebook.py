"""The README's notebook lines run as they stand."""

import re

from conftest import ROOT


def test_the_python_block_of_the_readme(run, tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL).group(1)
    code = code.replace("RUN/", f"{run}/").replace("ImageDataModule()", "ImageDataModule('mnist_5k', val_size=500)")
    code = code.replace("max_epochs=3", "max_epochs=1, accelerator='cpu', logger=False, log_every_n_steps=1")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["latents"].shape == (500, 16) and names["trained"].latent_dim == 8
