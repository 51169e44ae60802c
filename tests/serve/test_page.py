"""The page at /, in a real browser, by keyboard."""

import pytest

from fairseq_ringformer.serve.app import Access, Limits
from tests.serve.chromium import Chromium, find
from tests.serve.fake import Shouting, served

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium here (Debian: apt-get install chromium)")
TAB, ENTER, RIGHT = ("Tab", 9), ("Enter", 13), ("ArrowRight", 39)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def page(browser):
    """Open the page of a service with two languages each way; nothing may go wrong in it."""
    translators = [Shouting("de", "en"), Shouting("en", "de")]
    with served(*translators, limits=Limits(characters=60)) as client:
        browser.problems.clear()
        browser.look(1000, 800)
        browser.open(f"http://127.0.0.1:{client.port}/")
        browser.until("document.getElementById('from').options.length === 2")
        browser.translators = translators
        yield browser
    assert browser.problems == []


def shown(page, text):
    page.until(f"document.getElementById('result').textContent === {text!r}")


def test_text_is_translated_as_one_writes(page):
    assert page.value("document.activeElement.id") == "text"
    page.write("guten morgen")
    shown(page, "GUTEN MORGEN")
    assert page.value("document.getElementById('count').textContent") == "12 of 60 characters"


def test_markup_is_text(page):
    page.write("<img src=x onerror=alert(1)><b>")
    shown(page, "<IMG SRC=X ONERROR=ALERT(1)><B>")
    assert page.value("document.querySelectorAll('#result *').length") == 0


def test_by_keyboard_alone(page):
    """Text, the way back, attention and a word's, without a pointer."""
    page.write("der ring")
    page.press(*ENTER, modifiers=2)
    shown(page, "DER RING")
    page.value("document.getElementById('swap').focus()")
    page.press(*ENTER, text="\r")
    shown(page, "DER RING")
    page.until("document.getElementById('from').value === 'en' && document.getElementById('text').value === 'DER RING'")
    page.until("!document.getElementById('result').classList.contains('old')")
    assert page.translators[1].batches == [(["DER RING"], 5, 1, False)]
    page.value("document.getElementById('alignment').focus()")
    page.press(" ", 32, text=" ")
    page.until("document.querySelectorAll('.words button').length === 2")
    page.press(*TAB)  # from the box to the first word
    assert page.value("document.activeElement.textContent") == "DER"
    page.press(*ENTER, text="\r")
    page.press(*RIGHT)
    assert page.value("document.querySelector('[aria-pressed=true]').textContent") == "RING"
    assert page.value("document.querySelector('.said').textContent") == "RING ← DER 0.50, RING 0.50"
    assert page.value("document.querySelector('.words span').style.getPropertyValue('--weight')") == "0.5"


def test_alternatives_up_to_the_beam(page):
    page.write("eins")
    shown(page, "EINS")
    page.value("(at('beam').value = 3, at('beam').dispatchEvent(new Event('change')))")
    assert page.value("[...at('alternatives').options].map((one) => one.value).join()") == "0,1,2"
    page.value("(at('alternatives').value = 2, at('alternatives').dispatchEvent(new Event('change')))")
    page.until("[...document.querySelectorAll('#others li')].map((one) => one.textContent).join() === 'EINS!,EINS!!'")
    assert page.translators[0].batches[-1] == (["eins"], 3, 3, False)


def test_more_text_than_may_be_is_not_sent(page):
    page.write("a" * 61)
    page.until("document.getElementById('told').textContent === 'at most 60 characters at once'")
    assert page.translators[0].batches == []


def test_an_answer_that_is_given_up_half_way_is_not_shown(page):
    left = "{ok: true, json: () => Promise.reject(new DOMException('', 'AbortError'))}"
    assert page.value(f"answerOf({left}).then(() => 'shown', (error) => error.name)") == "AbortError"


def test_sub_words_are_put_together(page):
    words = "wordsOf({}, {}, {!r}).map((word) => word.text + ':' + word.places.join('+')).join(' ')"
    for tokens, other, language, expected in (
        (["▁Fen", "ster", "▁zu"], [], "de", "Fenster:0+1 zu:2"),
        (["Fen@@", "ster", "zu"], [], "de", "Fenster:0+1 zu:2"),
        (["Fen", "##ster", "zu"], [], "de", "Fenster:0+1 zu:2"),
        (["▁do", "n", "'", "t", "."], [], "en", "don't:0+1+2+3 .:4"),
        (["zu"], ["▁a"], "de", "zu:0"),
        (["▁窗", "口"], [], "zh", "窗:0 口:1"),
        (["a", "b"], [], "de", "a:0 b:1"),
    ):
        assert page.value(words.format(tokens, other, language)) == expected


@pytest.mark.parametrize("width", [320, 1000])
def test_nothing_is_wider_than_the_screen(page, width):
    page.look(width, 700)
    page.write("Donaudampfschifffahrtsgesellschaftskapitänsmütze")
    page.until("document.getElementById('result').textContent")
    assert page.value("document.documentElement.scrollWidth <= window.innerWidth")
    small = "[...document.querySelectorAll('button, select')].filter((one) => one.offsetHeight && one.offsetHeight < 44).length"
    assert page.value(small) == 0  # a finger's width


def test_dark_where_that_is_preferred(page):
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.value(background)
    page.look(1000, 800, dark=True)
    assert page.value(background) != light


def test_a_key_is_asked_for_where_one_is_needed(browser):
    with served(Shouting(), access=Access(keys=["geheim"])) as client:
        browser.look(1000, 800)
        browser.open(f"http://127.0.0.1:{client.port}/")
        browser.until("document.getElementById('key').offsetHeight > 0")
        browser.write("eins")
        browser.until("document.getElementById('told').textContent === 'api_key is missing'")
        browser.value("document.getElementById('key').focus()")
        browser.write("geheim")
        browser.press(*ENTER, text="\r")
        browser.until("document.getElementById('result').textContent === 'EINS'")


def test_another_page_cannot_ask(browser):
    """Not even without reading the answer, as a form would."""
    translator = Shouting()
    with served(translator) as own, served(Shouting()) as other:
        browser.open(f"http://127.0.0.1:{other.port}/health")
        ask = "fetch('http://127.0.0.1:{}/translate', {{method: 'POST', mode: 'no-cors', body: {}}}).then(() => 'sent')"
        form = "new URLSearchParams({q: 'a', source: 'de', target: 'en'})"
        assert browser.value(ask.format(own.port, form)) == "sent"
        assert translator.batches == []
        browser.open(f"http://127.0.0.1:{own.port}/health")
        assert browser.value(ask.format(own.port, form)) == "sent"
        assert len(translator.batches) == 1
