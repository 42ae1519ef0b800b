"""From a page in a browser, over a line that breaks, to a word that is found."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from tests.support.chromium import a_browser
from tests.support.client import captions_of, client_of
from tests.support.cutter import cutting
from tests.support.media import SHORT, short
from tests.support.pages import a_page
from tests.support.stack import PATIENT, embedded

BETWEEN_CUTS = 20_000


async def test_a_clip_that_a_page_uploads_over_a_bad_line_is_searchable(
    tmp_path: Path,
) -> None:
    clip = tmp_path / "clip.mp4"
    short(clip)
    async with a_page() as origin:
        with embedded(tmp_path, REELWAY_GATEWAY_CORS_ORIGINS=origin, **PATIENT) as stack:
            to = {"key": stack.key}
            async with cutting(stack.urls, BETWEEN_CUTS) as proxy, a_browser() as browser:
                page = await browser.new_page()
                await page.goto(origin)
                await page.set_input_files("#file", clip)
                address = await page.evaluate("to => byTus(to)", {**to, "url": proxy.url})
                assert proxy.cuts >= clip.stat().st_size // BETWEEN_CUTS - 1
            async with client_of(stack.url, stack.key) as client:
                upload = await client.get(urlsplit(address).path)
                assert (upload["name"], upload["state"]) == (clip.name, "complete")
                captions = await captions_of(client, upload["video"])
                assert [text for _, _, text in captions] == [caption.text for caption in SHORT]
                hits = await client.get("/v1/search", q="weighed")
                assert [hit["video"] for hit in hits["items"]] == [upload["video"]]
            assert stack.complaints() == []
