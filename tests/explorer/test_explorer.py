"""The explorer in a real browser without network: it computes what torch does, and answers every gesture."""

import dataclasses
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import sklearn.decomposition
import torch
from browsing import choose, key, pixels_of, resize, slider_values, visit, wait
from conftest import ROOT, call, read_metrics, refuse_here

import explore
from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.errors import InputError
from autoencoder.evaluation.outputs import Outputs
from autoencoder.explorer.page import (
    MARKER,
    SCRIPTS,
    build_page,
    check_output,
    metric_rows,
    page_data,
    write_explorer,
)
from autoencoder.pictures.style import CLASS_COLORS
from autoencoder.runs.checkpoints import restore

webdriver = pytest.importorskip("selenium.webdriver", reason="the explorer's page needs selenium: make setup")
NO_METRICS: dict[str, float] = {}


@pytest.fixture(scope="module")
def trained(run) -> Outputs:
    module, data = restore(run / "checkpoints" / "best.ckpt")
    return Outputs(module, data.images)


@pytest.fixture(scope="module")
def page(run, trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    write_explorer(trained, read_metrics(run), path)
    return path


def requested(browser) -> set[str]:
    """The addresses that the page asked for since `visit`."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 400, 800, 1400])
def test_it_fits_any_width_without_error_or_request(browser, page, width, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    resize(browser, width)
    visit(browser, page)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, paper[4:-1].split(","))) < 128) == (scheme == "dark")
    assert browser.get_log("browser") == []
    own = ("data:", "chrome:")  # chrome: the browser's own start page, which may still be loading
    assert {url for url in requested(browser) if not url.startswith(own)} == {page.as_uri()}


def test_a_slider_changes_the_image_and_reset_restores_it(browser, page):
    resize(browser, 1400)
    visit(browser, page)
    browser.find_element("id", "reset").click()
    mean = pixels_of(browser, "decoded")
    key(browser, "pc3", *["\ue014"] * 40)  # right arrow
    assert pixels_of(browser, "decoded") != mean
    assert len(browser.find_elements("css selector", "#slider-list input[type=range]")) == 8
    browser.find_element("id", "reset").click()
    assert pixels_of(browser, "decoded") == mean
    browser.find_element("id", "random").click()
    assert pixels_of(browser, "decoded") != mean and browser.find_element("id", "origin").is_displayed()
    assert browser.get_log("browser") == []


def test_the_sliders_follow_the_principal_axes_and_the_raw_dimensions(browser, page, trained):
    resize(browser, 1400)
    visit(browser, page)
    latents, decomposition = trained.latents.numpy(), sklearn.decomposition.PCA()
    coordinates = decomposition.fit_transform(latents)
    titles = [one.get_attribute("title") for one in browser.find_elements("css selector", ".slider")]
    shares = [f"principal axis {n}, {share:.1%}" for n, share in enumerate(decomposition.explained_variance_ratio_, 1)]
    assert [title.removesuffix(" of the variance") for title in titles] == shares
    for number in (1, 8):  # the largest and the smallest; an axis may point either way
        low, high = (float(browser.find_element("id", f"pc{number}").get_attribute(end)) for end in ("min", "max"))
        expected = np.quantile(coordinates[:, number - 1], [0.01, 0.99])
        turned = -expected[::-1]
        assert any(np.allclose([low, high], ends, atol=1e-3) for ends in (expected, turned)), number
    browser.find_element("id", "reset").click()
    assert slider_values(browser) == pytest.approx([0] * 8, abs=0.005)
    key(browser, "pc1", "\ue010")  # to the end
    assert slider_values(browser)[0] == pytest.approx(
        float(browser.find_element("id", "pc1").get_attribute("max")), 0.01
    )
    assert slider_values(browser)[1:] == pytest.approx([0] * 7, abs=0.005)
    choose(browser, "axis-sets", "Raw dimensions")  # the same latent
    moved = torch.tensor(slider_values(browser))
    steps = (moved - trained.latents.mean(0)) @ torch.from_numpy(decomposition.components_).T
    assert steps[0].abs() > 1 and steps[1:].abs().max() < 0.03
    shown = torch.tensor(pixels_of(browser, "decoded")).view(-1, 4)[:, 0] / 127.5 - 1
    assert (shown - trained.decode(moved[None]).flatten()).abs().max() < 0.05
    key(browser, "z3", "\ue011")  # to its start: only this dimension moves
    after = torch.tensor(slider_values(browser))
    assert after[3] != moved[3] and torch.equal(after[torch.arange(8) != 3], moved[torch.arange(8) != 3])
    assert browser.get_log("browser") == []


def test_each_gesture_answers_within_a_frame(browser, digits, tmp_path):
    write_explorer(Outputs(AutoencoderModule(), digits.images), NO_METRICS, tmp_path / "page.html")
    visit(browser, tmp_path / "page.html")
    script = """
        const slider = document.getElementById("pc1"), map = document.getElementById("map-canvas");
        const position = document.getElementById("position"), box = map.getBoundingClientRect();
        let step = 0;
        const move = () =>
          new PointerEvent("pointermove", {clientX: box.left + 50 + 7 * (step % 50), clientY: box.top + 150});
        const pad = document.getElementById("pad"), padBox = pad.getBoundingClientRect();
        const stroke = (type) => pad.dispatchEvent(new PointerEvent(type, {
          clientX: padBox.left + 40 + 2 * step, clientY: padBox.top + 30 + 2 * step}));
        window.requestAnimationFrame = (callback) => callback(); // to time what the next frame would do
        pad.setPointerCapture = () => {};
        stroke("pointerdown");
        const gestures = {
          draw: () => stroke("pointermove"),
          decode: () => window.explorer.decode(new Float32Array(32)),
          encode: () => window.explorer.encode(new Float32Array(784)),
          slider: () => { slider.stepUp(); slider.dispatchEvent(new Event("input")); },
          hover: () => map.dispatchEvent(move()),
          walk: () => { position.value = step / 100; position.dispatchEvent(new Event("input")); },
        };
        const median = {};
        for (const [name, gesture] of Object.entries(gestures)) {
          const times = [];
          for (step = 0; step < 101; step++) {
            const start = performance.now();
            gesture();
            times.push(performance.now() - start);
          }
          median[name] = times.sort((a, b) => a - b)[50];
        }
        return median;"""
    medians = browser.execute_script(script)
    print(medians)
    assert max(medians.values()) < 16, medians


def test_it_opens_on_a_test_image_of_median_error(browser, page, trained):
    visit(browser, page)
    pixels = torch.tensor(pixels_of(browser, "origin-image")).view(28, 28, 4)[..., 0].byte()
    [index] = (trained.split.pixels[:, 0] == pixels).flatten(1).all(1).nonzero().flatten().tolist()
    images, latents, errors = trained.split.images(slice(None)), trained.latents, trained.errors
    decoded = trained.decode(latents[index : index + 1]).flatten()
    assert errors[index].item() == pytest.approx(errors.median().item(), rel=0.01)
    text = f"a test image of class {trained.labels[index]}, mse {errors[index]:.3f}"
    assert browser.find_element("id", "origin-text").text.startswith(text)
    choose(browser, "axis-sets", "Raw dimensions")
    assert slider_values(browser) == pytest.approx(latents[index].tolist(), abs=0.02)
    for name, expected in (("decoded", decoded), ("redrawn", decoded), ("drawn", images[index].flatten())):
        shown = torch.tensor(pixels_of(browser, name)).view(-1, 4)[:, 0] / 127.5 - 1
        assert (shown - expected).abs().max() < 0.02, name
    assert f"{errors[index]:.3f}" in browser.find_element("id", "drawing-error").text
    on_pad = torch.tensor(pixels_of(browser, "pad", 280)).view(280, 280, 4)[5::10, 5::10, 0].byte()
    assert torch.equal(on_pad, pixels)
    key(browser, "pad", " ")  # the first stroke is on an empty pad
    wait(browser, f"return !document.getElementById('drawing-error').textContent.includes('{errors[index]:.3f}')")
    assert sum(pixels_of(browser, "pad", 280)[::4]) < 255 * 500  # a dot of the pen, 22 pixels wide
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("with_plane", [False, True])
@pytest.mark.parametrize("width", [320, 390, 640, 1000, 1400])
def test_the_images_from_a_to_b_are_large_enough_to_see(browser, page, plane_page, width, with_plane):
    resize(browser, width)
    visit(browser, plane_page[0] if with_plane else page)
    wait(browser, "return document.querySelectorAll('#strip canvas').length === 9")
    script = """
        const boxes = [...document.querySelectorAll("#strip canvas")].map((image) => image.getBoundingClientRect());
        return boxes.map(({left, right, width, height}) => [left, right, width, height]);"""
    boxes = browser.execute_script(script)
    assert all(box[2] >= 40 and box[3] >= 40 and box[0] >= 0 and box[1] <= width for box in boxes), boxes
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="module")
def plane_page(trained, tmp_path_factory) -> tuple[Path, Outputs]:
    """The page of an untrained model with two latent dimensions, and its outputs."""
    torch.manual_seed(0)
    outputs = Outputs(AutoencoderModule(latent_dim=2), trained.images)
    path = tmp_path_factory.mktemp("plane") / "explorer.html"
    write_explorer(outputs, NO_METRICS, path)
    return path, outputs


def test_two_latent_dimensions_are_shown_as_a_plane_of_images(browser, plane_page):
    path, outputs = plane_page
    resize(browser, 1400, 1400)
    visit(browser, path)
    browser.execute_script("document.getElementById('plane-canvas').style.width = '420px'")  # 15 x 28: not resampled
    wait(browser, "return document.getElementById('plane-canvas').width === 420")
    low, high = np.quantile(outputs.latents.numpy(), [0.01, 0.99], axis=0)
    across, up = (torch.linspace(low[axis], high[axis], 15) for axis in (0, 1))
    expected = (outputs.decode(torch.cartesian_prod(up.flip(0), across).flip(1).float())[:, 0] + 1) * 127.5

    def differing() -> int:
        shown = torch.tensor(pixels_of(browser, "plane-canvas", 420)).view(15, 28, 15, 28, 4)[..., 0].transpose(1, 2)
        return int(((shown.reshape(225, 28, 28) - expected).abs().amax((1, 2)) > 2).sum())  # cells

    wait(browser, lambda: differing() <= 4)  # the cells that the ring is in
    browser.find_element("id", "plane-points").click()
    assert differing() > 20
    assert browser.get_log("browser") == []


def test_a_place_on_the_plane_is_set_on_the_sliders(browser, plane_page):
    path, outputs = plane_page
    resize(browser, 1400, 1400)
    visit(browser, path)
    choose(browser, "axis-sets", "Raw dimensions")
    low, high = np.quantile(outputs.latents.numpy(), [0.01, 0.99], axis=0)
    canvas = browser.find_element("id", "plane-canvas")
    browser.execute_script("arguments[0].scrollIntoView()", canvas)
    webdriver.ActionChains(browser, duration=20).move_to_element(canvas).click().perform()
    middle, step = (low + high) / 2, (high - low) / 14
    assert slider_values(browser) == pytest.approx(middle.tolist(), abs=0.02)
    key(browser, "plane-canvas", "\ue014", "\ue013")  # one cell to the right and one up
    assert slider_values(browser) == pytest.approx((middle + step).tolist(), abs=0.02)
    wait(browser, "return document.getElementById('status').textContent.startsWith('On the sliders: z0 ')")
    latent = torch.tensor(middle + step).float()
    expected = (outputs.decode(latent[None]).flatten() + 1) * 127.5
    assert (torch.tensor(pixels_of(browser, "decoded"))[::4] - expected).abs().max() < 3
    key(browser, "plane-canvas", *["\ue012"] * 30)  # to the left, not further than the plane
    assert slider_values(browser)[0] == pytest.approx(low[0], abs=0.02)
    before = pixels_of(browser, "plane-canvas", 280)
    key(browser, "z1", "\ue011")  # the ring follows the sliders
    assert pixels_of(browser, "plane-canvas", 280) != before
    assert browser.get_log("browser") == []


def test_other_numbers_of_dimensions_have_no_plane(browser, page):
    visit(browser, page)
    assert not browser.find_element("id", "plane").is_displayed()


def test_a_button_changes_the_map_and_keeps_the_points(browser, page):
    resize(browser, 1400)
    visit(browser, page)
    tsne, pca = browser.find_elements("css selector", "#projections button")
    assert (tsne.text, pca.text) == ("t-SNE", "PCA")
    assert browser.find_element("id", "map-title").text == "Map of 500 test images"
    maps = []
    for button in (tsne, pca, tsne):
        button.click()
        other = pca if button is tsne else tsne
        assert (button.get_attribute("aria-pressed"), other.get_attribute("aria-pressed")) == ("true", "false")
        assert ("t-SNE 1" if button is tsne else "first principal") in browser.find_element("id", "axes").text
        maps.append(pixels_of(browser, "map-canvas", 280))
    assert maps[0] == maps[2] != maps[1]
    assert browser.find_element("id", "position").is_enabled()  # A and B stay chosen
    key(browser, "map-canvas", "\ue014")
    assert browser.find_element("id", "tip").is_displayed()
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_classes_have_their_names_and_the_colours_of_the_figures(browser, trained, tmp_path, scheme):
    names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag"]
    named = dataclasses.replace(trained.images, class_names=tuple(names))
    write_explorer(Outputs(trained.model, named), NO_METRICS, tmp_path / "page.html")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    resize(browser, 390)
    visit(browser, tmp_path / "page.html")
    names.append("9")  # a class without a name
    script = """
        const entries = [...document.querySelectorAll("#legend li")];
        return entries.map((entry) => [entry.textContent, entry.querySelector(".swatch").style.backgroundColor]);"""
    rgb = [f"rgb({', '.join(str(int(color[at : at + 2], 16)) for at in (1, 3, 5))})" for color in CLASS_COLORS]
    assert browser.execute_script(script) == [list(pair) for pair in zip(names, rgb, strict=True)]
    key(browser, "map-canvas", "\ue014")
    assert any(f"class {name}, mse" in browser.find_element("id", "tip-text").text for name in names)
    assert any(f"class {name}, mse" in browser.find_element("id", "origin-text").text for name in names)
    captions = [figure.text for figure in browser.find_elements("css selector", "#worst-list figcaption")]
    assert all(any(text.startswith(f"{name} · ") for name in names) for text in captions)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    colors = {(red, green, blue) for red, green, blue, alpha in painted(browser) if alpha > 200}
    for color in CLASS_COLORS:
        expected = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
        assert any(max(abs(a - b) for a, b in zip(one, expected, strict=True)) <= 2 for one in colors), color


def painted(browser) -> list[list[int]]:
    """The colours, red, green, blue and opacity, of the map's pixels; each once."""
    script = """
        const map = document.getElementById("map-canvas");
        const pixels = new Uint32Array(map.getContext("2d").getImageData(0, 0, map.width, map.height).data.buffer);
        return [...new Set(pixels)].map((pixel) => [0, 8, 16, 24].map((shift) => (pixel >>> shift) & 255));"""
    return browser.execute_script(script)


def test_labels_may_be_any_whole_numbers(trained):
    far = ImageDataModule.from_arrays(
        trained.images.train.pixels[:300].numpy(),
        trained.images.test.pixels[:20].numpy(),
        torch.tensor([7, 1_000_000] * 150).numpy(),
        torch.tensor([7, 1_000_000] * 10).numpy(),
        val_size=50,
    )
    data = page_data(Outputs(trained.model, far.images), NO_METRICS)
    assert [one["name"] for one in data["classes"]] == ["7", "1000000"]
    assert data["samples"]["classes"] == [0, 1] * 10


def test_a_drawing_is_encoded_and_decoded_as_one_draws(browser, page):
    visit(browser, page)
    browser.find_element("id", "clear").click()
    wait(browser, "return document.getElementById('drawing-error').textContent === '–'")
    blank = pixels_of(browser, "redrawn")
    pen = webdriver.ActionChains(browser, duration=20)
    pad = browser.find_element("id", "pad")
    browser.execute_script("arguments[0].scrollIntoView()", pad)
    pen.move_to_element_with_offset(pad, 60, -80).click_and_hold().move_by_offset(0, 60).move_by_offset(0, 60)
    pen.release().perform()
    wait(browser, "return document.getElementById('drawing-error').textContent !== '–'")
    assert pixels_of(browser, "redrawn") != blank
    drawn = torch.tensor(pixels_of(browser, "drawn")).view(28, 28, 4)[..., 0].double()
    places = torch.arange(28).double()
    centre = [(drawn.sum(axis) @ places / drawn.sum()).item() for axis in (0, 1)]
    assert centre == pytest.approx([13.5, 13.5], abs=0.1)  # drawn to the right, and up
    browser.find_element("id", "to-sliders").click()
    assert "your drawing" in browser.find_element("id", "origin-text").text
    browser.find_element("id", "clear").click()
    wait(browser, "return document.getElementById('drawing-error').textContent === '–'")
    key(browser, "pad", " ", *["\ue015"] * 8)  # space and arrow down: the pen without a pointer
    wait(browser, "return document.getElementById('drawing-error').textContent !== '–'")
    assert browser.get_log("browser") == []


@pytest.fixture(scope="module")
def colour_page(tmp_path_factory) -> tuple[Path, Outputs]:
    """The page of an untrained model of wide colour images, and its outputs."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 3, 14, 28), np.uint8)
    data = ImageDataModule.from_arrays(pixels[:40], pixels[40:], name="colours")
    torch.manual_seed(0)
    outputs = Outputs(AutoencoderModule(latent_dim=4, image_shape=data.image_shape), data.images)
    path = tmp_path_factory.mktemp("colour") / "explorer.html"
    write_explorer(outputs, NO_METRICS, path)
    return path, outputs


def colours_of(browser, name: str) -> torch.Tensor:
    """A canvas's image of 28 x 14, as [3, 14, 28] from 0 to 255."""
    return torch.tensor(pixels_of(browser, name)).view(28, 28, 4).permute(2, 0, 1)[:3, :14]


def test_images_are_shown_in_colour(browser, colour_page):
    path, outputs = colour_page
    visit(browser, path)
    shown = colours_of(browser, "origin-image")
    [index] = (outputs.split.pixels == shown).flatten(1).all(1).nonzero().flatten().tolist()
    expected = (outputs.reconstructions(torch.tensor([index]))[0] + 1) * 127.5
    assert torch.equal(colours_of(browser, "drawn"), shown)
    for name in ("decoded", "redrawn"):
        assert (colours_of(browser, name) - expected).abs().max() < 2, name
    script = "document.querySelectorAll('#worst-list canvas').forEach((one, number) => { one.id = `worst-${number}`; })"
    browser.execute_script(script)
    worst = outputs.errors.argmax()
    assert torch.equal(colours_of(browser, "worst-0"), outputs.split.pixels[worst])
    key(browser, "map-canvas", "\ue014")
    assert (outputs.split.pixels == colours_of(browser, "tip-image")).flatten(1).all(1).any()
    assert browser.get_log("browser") == []


def test_one_paints_in_colour(browser, colour_page):
    path, outputs = colour_page
    visit(browser, path)
    before = colours_of(browser, "drawn")
    browser.execute_script("document.getElementById('colour').value = '#ff8000'")
    key(browser, "pad", " ", "\ue014", "\ue014")  # a line from the middle of the test image, 2 pixels to the right
    wait(browser, "return document.getElementById('status').textContent.includes('Drawing reconstructed')")
    after = colours_of(browser, "drawn")
    assert after[:, 7, 15].tolist() == pytest.approx([255, 128, 0], abs=10)
    assert torch.equal(after[..., :10], before[..., :10])  # elsewhere it is as it was
    browser.find_element("id", "fill").click()
    filled = torch.tensor([255, 128, 0])[:, None, None].expand(3, 14, 28)
    wait(browser, lambda: torch.equal(colours_of(browser, "drawn"), filled))
    with torch.inference_mode():
        expected = (outputs.model(filled[None] / 127.5 - 1)[0] + 1) * 127.5
    assert (colours_of(browser, "redrawn") - expected).abs().max() < 2
    browser.find_element("id", "clear").click()
    wait(browser, "return document.getElementById('drawing-error').textContent === '–'")
    assert colours_of(browser, "drawn").max() == 0
    assert not browser.find_element("id", "to-sliders").is_enabled()
    assert browser.get_log("browser") == []


def test_two_points_of_the_map_are_joined(browser, page):
    visit(browser, page)
    before = pixels_of(browser, "between")
    key(browser, "map-canvas", "\ue014", "\ue007")  # arrow right, enter
    assert not browser.find_element("id", "position").is_enabled()
    assert browser.find_element("id", "tip").is_displayed()
    wait(browser, "return document.getElementById('status').textContent.includes('Choose point B')")
    key(browser, "map-canvas", *["\ue012"] * 12, "\ue007")
    assert browser.find_element("id", "position").is_enabled()
    middle = pixels_of(browser, "between")
    assert middle != before
    key(browser, "position", "\ue010")  # to the end
    assert pixels_of(browser, "between") != middle
    canvas, tip = browser.find_element("id", "map-canvas"), browser.find_element("id", "tip")
    for right, down in itertools.product(range(0, 100, 20), repeat=2):  # until a point is near
        pointer = webdriver.ActionChains(browser, duration=20)
        pointer.move_to_element_with_offset(canvas, right, down).click().perform()
        if tip.is_displayed():
            break
    assert tip.is_displayed()
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("kind", ["page", "plane_page", "colour_page"])
def test_everything_has_a_name_and_fits_a_phone(browser, request, kind):
    made = request.getfixturevalue(kind)
    resize(browser, 320)
    visit(browser, made if kind == "page" else made[0])
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 320
    script = """
        const named = (node) => node.ariaLabel || node.labels?.length || node.textContent.trim();
        const nodes = [...document.querySelectorAll("button, input, [role], [tabindex]")];
        return nodes.filter((node) => !named(node) && node.id !== "status").map((node) => node.outerHTML);"""
    assert browser.execute_script(script) == []
    assert browser.find_element("id", "status").get_attribute("aria-live") == "polite"
    assert len(browser.find_elements("css selector", "#worst-list figure")) == 16


def test_the_metrics_are_in_the_table(browser, page, run):
    visit(browser, page)
    text = browser.find_element("id", "measured").text
    metrics = read_metrics(run)
    for name in ("test/mse", "pca/test_mse"):
        assert f"{metrics[name]:.4f}" in text
    assert metric_rows(NO_METRICS) == []


def test_data_cannot_end_its_element(digits):
    data = page_data(Outputs(AutoencoderModule(), digits.images), NO_METRICS) | {"title": "</script><b>{{data}}"}
    content = build_page(data)
    assert "</script><b>" not in content and content.count("</script>") == 2
    assert "&lt;/script&gt;&lt;b&gt;{{data}}" in content
    scripts = "".join(
        (ROOT / "src" / "autoencoder" / "explorer" / name).read_text(encoding="utf-8") for name in SCRIPTS
    )
    assert "innerHTML" not in scripts and "http" not in scripts


@pytest.mark.slow
def test_the_command_writes_into_the_run_or_elsewhere(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    best = f"ckpt_path={copy}/checkpoints/best.ckpt"
    for _ in range(2):  # an explorer page may be written again
        call(explore.explore, f"hydra.run.dir={tmp_path / 'log'}", best)
    page = (copy / "explorer.html").read_text(encoding="utf-8")
    assert MARKER in page and f"{read_metrics(copy)['test/mse']:.4f}" in page
    shutil.copy(copy / "checkpoints" / "best.ckpt", tmp_path / "alone.ckpt")
    call(explore.explore, f"hydra.run.dir={tmp_path / 'log'}", f"ckpt_path={tmp_path}/alone.ckpt", "precision=single")
    assert '"precision":"single"' in (tmp_path / "explorer.html").read_text(encoding="utf-8")
    call(explore.explore, f"hydra.run.dir={tmp_path / 'log'}", best, f"output={tmp_path}/other.html")
    assert (tmp_path / "other.html").read_text(encoding="utf-8") == page
    error = f"{read_metrics(copy)['test/mse']:.4f}"
    (copy / "metrics.json").write_text("{", encoding="utf-8")  # broken: measured again
    call(explore.explore, f"hydra.run.dir={tmp_path / 'log'}", best)
    assert error in (copy / "explorer.html").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_to_is_said_before_the_page_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # whoever runs this test may be root
    with pytest.raises(InputError, match="cannot be written to: choose another output"):
        check_output(tmp_path / "page.html")


def test_what_is_no_explorer_page_is_not_overwritten(run, tmp_path, capfd):
    best = f"ckpt_path={run}/checkpoints/best.ckpt"
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine</p>", encoding="utf-8")
    for output, message in (
        (mine, "is not an explorer page"),
        (tmp_path, "is not a file"),
        (tmp_path / "nowhere" / "page.html", "there is no folder"),
    ):
        line = refuse_here(explore.explore, capfd, best, f"output={output}", f"paths.log_dir={tmp_path}/logs")
        assert message in line and f"output={output}" in line
    assert mine.read_text(encoding="utf-8") == "<p>mine</p>"
    line = refuse_here(explore.explore, capfd, best, "precision=double", f"paths.log_dir={tmp_path}/logs")
    assert "precision must be 'half' or 'single', got 'double'" in line


def test_a_sweep_into_a_single_page_is_refused(run, tmp_path, capfd):
    best, last = (f"{run}/checkpoints/{name}.ckpt" for name in ("best", "last"))
    overrides = (f"ckpt_path={best},{last}", f"output={tmp_path}/page.html", f"hydra.sweep.dir={tmp_path}/sweep", "-m")
    with pytest.raises(SystemExit):
        call(explore.explore, *overrides)
    assert "output is a single file, but -m writes several" in capfd.readouterr().out
    assert not (tmp_path / "page.html").exists()
