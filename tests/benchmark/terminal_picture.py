"""What a terminal has shown, as an animated SVG. Works as an image: no script, and the last screen where nothing moves."""

import html

COLUMNS, ROWS = 92, 24
CLEAR = "\x1b[H\x1b[J\x1b[3J"  # what clear(1) prints, with TERM=linux
LONGEST, LAST_SCREEN = 28.0, 5.0  # seconds: all of it, and its end
WIDTH, HEIGHT, MARGIN = 8.4, 20, 16  # of a character and of the frame, in pixels


def without_pauses(chunks, longest=3.0):
    """The same (time, kind, text), from 0 on. Pauses are cut to what `longest` says, and shorter until all fits."""
    shown, last, now = [], chunks[0][0], 0.0
    for when, kind, text in chunks:
        now += min(when - last, longest)
        last = when
        shown.append((now, kind, text))
    return shown if now + LAST_SCREEN <= LONGEST else without_pauses(chunks, 0.9 * longest)


def pieces_of(chunks):
    """Where a terminal puts each part of a line: (time, lines that are above the screen, kind, line, column, text)."""
    top = row = column = 0
    for when, kind, text in chunks:
        for number, line in enumerate(text.replace("\r", "").split("\n")):
            if number:
                row, column = row + 1, 0
            if line.startswith(CLEAR):
                top, line = row, line.removeprefix(CLEAR)
            while line:
                if column == COLUMNS:
                    row, column = row + 1, 0
                part, line = line[:COLUMNS - column], line[COLUMNS - column:]
                yield when, max(top, row + 1 - ROWS), kind, row, column, part
                column += len(part)


def picture(chunks, title):
    """The SVG, and how many seconds it lasts before it begins again."""
    chunks = without_pauses(chunks)
    pieces = [(round(when, 1), *rest) for when, *rest in pieces_of(chunks)]
    length = round(chunks[-1][0] + LAST_SCREEN, 1)
    above = {when: up for when, up, *_ in pieces}  # the last of each time
    moves = [f"{100 * when / length:.2f}% {{ transform: translateY(-{up * HEIGHT}px) }}"
             for (when, up), before in zip(above.items(), [0, *above.values()]) if up != before]
    style, body = [], []
    for number, when in enumerate(above):
        style.append(f"@keyframes t{number} {{ 0% {{ visibility: hidden }} "
                     f"{100 * when / length:.2f}% {{ visibility: visible }} }}")
        body.append(f'<g style="animation-name: t{number}">')
        for *_, kind, row, column, text in (piece for piece in pieces if piece[0] == when and piece[-1].strip()):
            column += len(text) - len(text.lstrip())
            text = text.strip()
            body.append(f'<text class="{kind}" x="{column * WIDTH:.1f}" y="{(row + 0.75) * HEIGHT:.0f}" '
                        f'textLength="{len(text) * WIDTH:.1f}">{html.escape(text).replace(" ", chr(0xa0))}</text>')
        body.append("</g>")
    width, height = round(COLUMNS * WIDTH) + 2 * MARGIN, ROWS * HEIGHT + 2 * MARGIN
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<title>{title}</title>
<!-- made by tests/benchmark/recording.py -->
<style>
text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }}
.output {{ fill: #d1d7e0 }} .typed {{ fill: #ffffff; font-weight: bold }}
.prompt {{ fill: #7ee787; font-weight: bold }} .note {{ fill: #e3b341; font-style: italic }}
g g {{ animation: {length}s step-end infinite; }}
#screen {{ animation: scroll {length}s step-end infinite; transform: translateY(-{pieces[-1][1] * HEIGHT}px) }}
@media (prefers-reduced-motion: reduce) {{ #screen, g g {{ animation: none }} }}
@keyframes scroll {{ 0% {{ transform: translateY(0) }} {" ".join(moves)} }}
{chr(10).join(style)}
</style>
<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="#0d1117" stroke="#656c76"/>
<svg x="{MARGIN}" y="{MARGIN}" width="{width - 2 * MARGIN}" height="{height - 2 * MARGIN}">
<g id="screen">
{chr(10).join(body)}
</g>
</svg>
</svg>
""", length
