"""The network in the explorer's page: it computes what torch does, in a browser, within a frame and 3 MB."""

from functools import partial

import numpy as np
import pytest
import torch
from browsing import key, visit
from torch import nn

from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.errors import InputError
from autoencoder.evaluation.outputs import Outputs
from autoencoder.explorer.network import network_data
from autoencoder.explorer.page import build_page, page_data, write_explorer
from autoencoder.models.bottlenecks.fsq import FSQ
from autoencoder.models.bottlenecks.sparse import Sparse
from autoencoder.models.bottlenecks.top_k import TopK
from autoencoder.models.bottlenecks.variational import Variational
from autoencoder.models.networks.conv import Conv
from autoencoder.models.networks.mlp import MLP

NO_METRICS: dict[str, float] = {}
SHAPES = {"grey": (1, 28, 28), "colour": (3, 32, 32), "odd": (1, 27, 30)}


def with_network(encoder: nn.Module, decoder: nn.Module, latent_dim: int, shape: tuple[int, ...]) -> AutoencoderModule:
    """A module with this network in place of its own."""
    module = AutoencoderModule(latent_dim, image_shape=shape)
    module.network.encoder, module.network.decoder = encoder, decoder
    return module


def convolutional(channels: int = 1, height: int = 28, width: int = 28, latent_dim: int = 32) -> AutoencoderModule:
    """The convolutional network for images of this shape."""
    torch.manual_seed(0)
    return AutoencoderModule(latent_dim, Conv, image_shape=(channels, height, width))


def unusual() -> AutoencoderModule:
    """Kernels, strides and paddings that differ across and down, a layer without bias, layers within layers."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(1, 4, (5, 2), (3, 1), (0, 1), bias=False), nn.LeakyReLU(inplace=True))
    encoder = nn.Sequential(first, nn.Conv2d(4, 2, 1), nn.Flatten(), nn.GELU(), nn.Linear(2 * 8 * 29, 6, bias=False))
    decoder = nn.Sequential(
        *(nn.Linear(6, 2 * 9 * 14), nn.Unflatten(1, (2, 9, 14)), nn.Tanh()),
        *(nn.ConvTranspose2d(2, 1, (4, 2), (3, 2), bias=False), nn.Tanh()),
    )
    return with_network(encoder, decoder, 6, (1, 28, 28))


def noise(shape: tuple[int, int, int], train: int = 60, test: int = 20) -> ImageDataModule:
    pixels = np.random.default_rng(0).integers(0, 256, (train + test, *shape), np.uint8)
    return ImageDataModule.from_arrays(pixels[:train], pixels[train:])


ACTIVATED = ("relu", "gelu", "leaky_relu", "tanh")
MODELS = {
    **{name: lambda name=name: AutoencoderModule(8, partial(MLP, activation=name)) for name in ACTIVATED},
    **{f"convolutional_{name}": lambda shape=shape: convolutional(*shape) for name, shape in SHAPES.items()},
    "variational": lambda: AutoencoderModule(8, bottleneck=Variational),
    "sparse": lambda: AutoencoderModule(8, bottleneck=Sparse),
    "top_k": lambda: AutoencoderModule(8, bottleneck=partial(TopK, k=3)),
    "fsq": lambda: AutoencoderModule(8, bottleneck=partial(FSQ, levels=5)),
    "unusual": unusual,
}


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("half", 1e-2), pytest.param("single", 1e-5, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", MODELS)
def test_the_page_computes_what_torch_does(browser, tmp_path, precision, tolerance, name):
    torch.manual_seed(0)
    module = MODELS[name]().eval()
    data = noise(tuple(module.image_shape))
    write_explorer(Outputs(module, data.images), NO_METRICS, tmp_path / "page.html", precision)
    visit(browser, tmp_path / "page.html")
    images = data.images.test.images(slice(None))
    with torch.inference_mode():
        latents = module.encode(images)
        expected = {
            "latents": latents,
            "decoded": module.decode(latents).flatten(1),
            "reconstructed": module(images).flatten(1),
        }
    script = """
        const {encode, decode} = window.explorer, [images, latents] = arguments;
        return {
          latents: images.map((image) => [...encode(image)]),
          decoded: latents.map((latent) => [...decode(latent)]),
          reconstructed: images.map((image) => [...decode(encode(image))]),
        };"""
    computed = browser.execute_script(script, images.flatten(1).tolist(), latents.tolist())
    for name, values in expected.items():
        difference = (torch.tensor(computed[name]) - values).abs().max().item()
        assert difference < tolerance * (max(1.0, values.abs().max().item()) if name == "latents" else 1), name


def test_a_convolutional_model_runs_within_a_frame(browser, digits, tmp_path):
    write_explorer(Outputs(convolutional(), digits.images), NO_METRICS, tmp_path / "page.html")
    visit(browser, tmp_path / "page.html")
    script = """
        const {encode, decode} = window.explorer;
        const image = Float32Array.from({length: 784}, (_, index) => (index % 7) / 3.5 - 1);
        const times = [];
        for (let step = 0; step < 101; step++) {
          const start = performance.now();
          decode(encode(image));
          times.push(performance.now() - start);
        }
        return times.sort((a, b) => a - b)[10];"""  # others may use the cores: the fastest tenth counts
    fast = browser.execute_script(script)
    print(f"{fast:.1f} ms for encoding and decoding")
    assert fast < 16


class Doubled(nn.Linear):
    """A layer whose name and sizes do not say what it computes."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(values)


class Shifted(AutoencoderModule):
    """A model that does more than its encoder does."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return super().encode(images) + 1


@pytest.mark.parametrize(
    "layer",
    [
        *(Doubled(4, 4), nn.ELU(), nn.BatchNorm1d(4), nn.GELU(approximate="tanh"), nn.LeakyReLU(0.2)),
        nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.Flatten()),
        nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 1, 3, padding="same"), nn.Flatten()),
        nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 1, 2, padding=1, dilation=2), nn.Flatten()),
        nn.Sequential(nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 4, 1, groups=2), nn.Flatten()),
        nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 2), nn.Flatten()),
    ],
    ids=str,
)
def test_layers_that_the_page_would_compute_wrongly_are_refused(layer):
    module = AutoencoderModule(4, partial(MLP, hidden_dims=[8]), image_shape=(1, 4, 4))
    images = noise((1, 4, 4)).images.train.images(slice(10))
    assert network_data(module, images, "half")
    module.network.encoder.append(layer)
    assert network_data(module, images, "half") is None


def test_a_model_that_does_more_than_its_layers_is_refused(monkeypatch):
    images = noise((1, 4, 4)).images.train.images(slice(10))
    assert network_data(Shifted(4, image_shape=(1, 4, 4)), images, "half") is None
    module = AutoencoderModule(4, partial(MLP, hidden_dims=[8]), image_shape=(1, 4, 4))
    module.network.decoder.register_forward_hook(lambda part, values, output: output / 2)
    assert network_data(module, images, "half") is None


def test_another_network_gets_what_needs_no_forward_pass(browser, digits, tmp_path):
    module = AutoencoderModule(latent_dim=1)
    module.network.encoder.append(nn.ELU())
    write_explorer(Outputs(module, digits.images), NO_METRICS, tmp_path / "page.html")
    visit(browser, tmp_path / "page.html")
    assert "cannot run this model" in browser.find_element("id", "no-network").text
    shown = {
        section.get_attribute("id")
        for section in browser.find_elements("tag name", "section")
        if section.is_displayed()
    }
    assert shown == {"map", "worst", "measured"}
    assert not browser.find_element("id", "projections").is_displayed()  # one dimension has one map
    key(browser, "map-canvas", "\ue014", "\ue007")
    assert browser.find_element("id", "tip").is_displayed()
    assert browser.execute_script("return window.explorer") is None
    assert "No metrics were measured" in browser.find_element("id", "measured").text
    assert browser.get_log("browser") == []


@pytest.mark.parametrize(
    ("module", "precision"),
    [
        *((AutoencoderModule(), "half"), (AutoencoderModule(), "single"), (convolutional(), "half")),
        *((AutoencoderModule(image_shape=(3, 28, 28)), "half"), (convolutional(3, 32, 32), "half")),
    ],
    ids=["default", "default_single", "convolutional", "default_colour", "convolutional_colour"],
)
def test_a_page_takes_3_mb_at_most(module, precision, monkeypatch):
    # As many test images as the page has room for; t-SNE of these takes seconds and changes no size.
    monkeypatch.setattr(Outputs, "map", lambda self, projection, chosen: (torch.rand(len(chosen), 2), ("1", "2")))
    data = noise(tuple(module.image_shape), 10, 1_500)
    content = page_data(Outputs(module, data.images), NO_METRICS, precision)
    size = len(build_page(content))
    print(f"{size / 1e6:.2f} MB with {len(content['samples']['classes'])} samples")
    assert size <= 3e6
    assert len(content["samples"]["classes"]) >= 200


def test_weights_that_half_cannot_hold(digits):
    module, images = AutoencoderModule(), digits.images.train.images(slice(10))
    with torch.no_grad():
        module.network.encoder[1].weight[0, 0] = 1e6
    with pytest.raises(InputError, match="use precision=single"):
        network_data(module, images, "half")
    assert network_data(module, images, "single")


def test_a_variational_model_has_a_button_for_new_samples(browser, digits, tmp_path):
    for bottleneck, has_prior in ((Variational, True), (Sparse, False)):
        outputs = Outputs(AutoencoderModule(4, bottleneck=bottleneck), digits.images)
        write_explorer(outputs, NO_METRICS, tmp_path / "page.html")
        visit(browser, tmp_path / "page.html")
        button = browser.find_element("id", "prior-sample")
        assert button.is_displayed() is has_prior
        if has_prior:
            browser.find_element("xpath", "//button[text()='Prior']").click()
            before = [
                slider.get_attribute("value") for slider in browser.find_elements("css selector", ".slider input")
            ]
            button.click()
            after = [slider.get_attribute("value") for slider in browser.find_elements("css selector", ".slider input")]
            assert len(before) == 4 and before != after
            assert "a sample of the prior" in browser.find_element("id", "origin-text").get_attribute("textContent")
