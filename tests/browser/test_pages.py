"""The page in a real browser, before a real service and its worker."""

import re

import pytest

from tests.conftest import needs_weights

expect = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install '.[dev]'"
).expect

pytestmark = pytest.mark.real

STUDY = "/studies/asr-librispeech-mini-test-other"
MODEL = "whisper-tiny.en"
PAGES = ("/", "/studies", STUDY, "/sweeps", "/verifications", "/calibration", "/models", "/devices")


def charts_drawn(page):
    """Waits until every chart of a page is drawn; how many there are."""
    expect(page.locator("figure.chart:not(:has(svg.marks))")).to_have_count(0, timeout=60_000)
    return page.locator("figure.chart").count()


def test_a_question_is_asked_with_the_keyboard_alone(visit):
    """Tab order reaches the form and its button; the answer comes without a pointer."""
    tab = visit()
    page = tab.page
    tab.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "gflops":
            break
    page.keyboard.type("200")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?gflops=200")
    assert page.locator("#choice").inner_text()


def test_what_is_wrong_is_said_at_its_field_and_what_is_impossible_with_a_way_out(visit):
    tab = visit()
    page = tab.page
    assert tab.go("/?gflops=many").status == 400
    field = page.get_by_label("Compute", exact=True)
    assert field.get_attribute("aria-invalid") == "true"
    said = page.locator(f"#{field.get_attribute('aria-describedby').split()[-1]}")
    assert "valid number" in said.inner_text()
    assert tab.go("/?gflops=0.1").status == 422
    assert page.get_by_role("heading", name="No feasible configuration").is_visible()
    page.get_by_role("link", name="Allow what it needs").click()
    assert page.locator("#choice").inner_text()
    assert tab.go("/?gflops=200&model=whisper-bse").status == 422
    page.get_by_role("link", name="model whisper-base", exact=True).click()
    assert "whisper-base" in page.locator("#choice").inner_text()


def test_tables_are_sorted_by_their_heads(visit):
    tab = visit()
    page = tab.page
    tab.go("/models")
    button = page.get_by_role("button", name="Parameters")
    column = page.locator("tbody td:nth-child(4)")

    def shown():
        return [
            float(text.split("\u202f")[0].replace(",", "")) for text in column.all_inner_texts()
        ]

    button.press("Enter")
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    assert shown() == sorted(shown())
    button.press("Enter")
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert shown() == sorted(shown(), reverse=True)
    assert "descending" in page.locator("#announce").inner_text()


def test_a_study_shows_its_curves_with_provenance_on_hover(visit):
    tab = visit()
    page = tab.page
    tab.go(STUDY)
    assert charts_drawn(page) > 4
    point = page.locator("section[aria-labelledby=axis-window_s] g.mark-symbol.layer_2_marks path")
    (point.first if point.count() else page.locator("g.mark-symbol path").first).hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "speechplan measure" in tooltip.inner_text()
    assert "%" in tooltip.inner_text()


def test_a_question_is_copied_as_it_is_asked(visit):
    tab = visit(permissions=["clipboard-read", "clipboard-write"])
    page = tab.page
    tab.go("/?gflops=200")
    page.locator("#as-cli").check()
    page.locator(".panel.as-cli .copy").click()
    page.get_by_text("Copied").first.wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "speechplan recommend --gflops 200.0"


def contrast_failures(page):
    """Text whose colour has less than 4.5 against what is behind it (3 where it is large)."""
    return page.evaluate(
        """() => {
      const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
      const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
      };
      const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const behind = (element) => {
        for (let e = element; e; e = e.parentElement) {
          const colour = rgba(getComputedStyle(e).backgroundColor);
          if (colour[3] === 1) return colour;
        }
        return [255, 255, 255, 1];
      };
      const failures = [];
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
        if (element.closest("svg, .unseen, script, select")) continue;
        const style = getComputedStyle(element);
        const [a, b] = [light(rgba(style.color)), light(behind(element))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        const large = parseFloat(style.fontSize) >= 24;
        if (ratio < (large ? 3 : 4.5)) failures.push([element.outerHTML.slice(0, 120), ratio]);
      }
      return failures;
    }"""
    )


def test_everybody_can_read_and_operate_every_page(visit):
    """No sideways scrolling at any width; contrast in light and dark; names, landmarks, order."""
    tab = visit()
    page = tab.page
    for path in (*PAGES, "/?gflops=200&rtf=0.5&device=nvidia-l4", "/?gflops=0.1", "/?gflops=x"):
        tab.go(path)
        charts_drawn(page)
        for width in (400, 1000, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert contrast_failures(page) == [], (path, scheme)
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("input:not([type=hidden]), select, button, a")]
              .filter((e) => !(e.labels?.length || e.textContent.trim() || e.ariaLabel))
              .map((e) => e.outerHTML)"""
        )
        assert unnamed == [], path
        assert page.locator("main").count() == page.locator("nav[aria-label]").count() == 1
        levels = page.evaluate(
            "[...document.querySelectorAll('main :is(h1,h2,h3)')].map((h) => +h.tagName[1])"
        )
        steps = zip([0, *levels], levels, strict=False)
        assert all(after - before <= 1 for before, after in steps), (path, levels)
        doubled = page.evaluate(
            """() => { const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
              return ids.filter((id, i) => ids.indexOf(id) !== i); }"""
        )
        assert doubled == [], path


@needs_weights
def test_ask_see_verify_watch_and_see_the_answer_change(visit):
    """The whole loop: a model that was never measured here is run, and the answer follows."""
    tab = visit()
    page = tab.page
    tab.go("/")
    page.get_by_label("Study").select_option("asr-demo")
    page.get_by_label("Compute", exact=True).fill("14")
    page.get_by_text("Risk, models and more").click()
    page.get_by_label(MODEL, exact=True).check()
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_url("**/?**gflops=14**")
    assert "target_ua" not in page.url
    first = page.locator("#choice").inner_text()
    assert first.startswith(MODEL)
    tile = page.locator(".tile").first
    before = tile.inner_text()
    assert re.search(r"[\d.]+\s%\n[\d.]+\s% to [\d.]+\s% at 90\s%", before)
    assert "interpolated" in before
    assert charts_drawn(page) == 1
    choice = page.get_by_label("Run", exact=True)
    runnable = choice.locator("option").all_inner_texts()[1:]
    # Not every processor has bf16 arithmetic; without, a run takes ten times as long.
    quick = [label for label in runnable if not label.endswith("bf16")]
    choice.select_option(label=(quick or runnable)[0])
    page.get_by_label("Utterances at most").fill("4")
    page.get_by_role("button", name="Verify").click()

    page.wait_for_url("**/verifications/*")
    seen = set()
    page.expose_function("seen", lambda said: seen.add(said))
    page.evaluate(
        """() => {
          const look = () => window.seen(document.querySelector("#said")?.textContent ?? "over");
          look();
          new MutationObserver(look).observe(
            document.querySelector("#main"), {subtree: true, childList: true, characterData: true});
        }"""
    )
    page.locator("#outcome").wait_for(timeout=600_000)
    assert "over" in seen
    assert any(re.match(r"\d+ of 4 utterances", said) for said in seen)
    verdicts = page.locator("#verdicts tbody tr")
    assert verdicts.count() >= 1
    assert re.search(r"inside|outside", verdicts.first.inner_text())
    assert page.locator("#outcome").inner_text().startswith("The recommendation ")
    recommended, quality = page.locator("#changes tbody tr").all_inner_texts()[:2]
    assert recommended.split("\t")[1] == first
    was, now = quality.split("\t")[1:]
    assert was.split()[0] == before.split()[1]
    assert was != now
    assert page.locator("h1").count() == 1
    assert page.locator(".tile").first.inner_text() != before
    assert page.locator("#announce").inner_text() != ""
    charts_drawn(page)

    sweep = {"models": [MODEL], "speech": [{"dataset": "demo", "limit": 2}], "timing": False}
    started = page.request.post("/v1/sweeps", data=sweep | {"centre": {"window_s": 15}})
    assert started.status == 202, started.text()
    tab.go(f"/sweeps/{started.json()['id']}")
    expect(page.locator("h1 .status")).to_have_text("done", timeout=300_000)
    expect(page.locator("#said")).to_contain_text("1 of 1 runs done")

    tab.go("/verifications")
    assert "succeeded" in page.locator("tbody tr").first.inner_text()
    tab.go("/calibration")
    assert page.get_by_role("heading", name="Coverage").is_visible()
    assert charts_drawn(page) == 1
    tab.go("/studies/asr-demo")
    assert MODEL in page.locator("table").last.inner_text()
