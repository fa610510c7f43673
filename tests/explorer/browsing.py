"""Opens a page of the explorer in a browser, looks at its images, and presses its keys and buttons."""

from collections.abc import Callable
from pathlib import Path

PIXELS = """
    const copy = document.createElement("canvas");
    copy.width = copy.height = arguments[1];
    const context = copy.getContext("2d", {willReadFrequently: true});
    context.drawImage(document.getElementById(arguments[0]), 0, 0);
    return [...context.getImageData(0, 0, arguments[1], arguments[1]).data];"""


def resize(browser, width: int, height: int = 900) -> None:
    """Gives the page a viewport narrower than chromium's windows can be."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def visit(browser, page: Path) -> None:
    """Opens a page, and forgets what earlier ones logged and asked for."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page.as_uri())


def pixels_of(browser, name: str, size: int = 28) -> list[int]:
    """Red, green, blue and opacity of each pixel of a canvas's upper left corner of `size` x `size`."""
    return browser.execute_script(PIXELS, name, size)


def choose(browser, group: str, name: str) -> None:
    """Presses the button of this name in a group of choices."""
    [button] = [
        one
        for one in browser.find_elements("css selector", f"#{group} button")
        if one.get_attribute("textContent") == name
    ]
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert len(browser.find_elements("css selector", f"#{group} [aria-pressed=true]")) == 1


def slider_values(browser) -> list[float]:
    """The values beside the sliders."""
    return browser.execute_script("return [...document.querySelectorAll('.slider output')].map((o) => +o.value)")


def key(browser, name: str, *keys: str) -> None:
    """Presses keys on an element."""
    browser.find_element("id", name).send_keys(*keys)


def wait(browser, condition: str | Callable[[], bool]) -> None:
    """Waits until a script or a function gives true."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 10).until(
        lambda _: condition() if callable(condition) else browser.execute_script(condition)
    )
