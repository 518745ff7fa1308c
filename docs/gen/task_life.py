"""Prints docs/task-life.svg, drawn from the table `NEXT` of the master's core.

`make docs` runs it; a test compares what it prints with what is committed. Where a
state stands and which way an arrow goes is chosen here; which arrows there are, and
what is written on them, is the table's.
"""

from __future__ import annotations

from pullwork_master.core.model import State
from pullwork_master.core.transitions import NEXT, Event

WIDTH, HEIGHT = 960, 380
BOX_WIDTH, BOX_HEIGHT = 132, 44

# The middle of each state's box.
AT = {
    State.SCHEDULED: (96, 220),
    State.QUEUED: (336, 220),
    State.RUNNING: (576, 220),
    State.SUCCEEDED: (816, 110),
    State.FAILED: (816, 220),
    State.CANCELLED: (816, 330),
}
# The way of each arrow, and the middle of its label.
WAY: dict[tuple[State, Event], tuple[str, tuple[int, int]]] = {
    (State.SCHEDULED, Event.WAKE): ("M 162 220 H 264", (213, 210)),
    (State.QUEUED, Event.GRANT): ("M 402 220 H 504", (453, 210)),
    (State.RUNNING, Event.LOSE): ("M 552 198 C 530 140 382 140 360 198", (456, 146)),
    (State.RUNNING, Event.BACK_OFF): ("M 580 198 C 560 70 116 70 96 192", (300, 94)),
    (State.RUNNING, Event.SUCCEED): ("M 642 206 L 746 118", (676, 150)),
    (State.RUNNING, Event.FAIL): ("M 642 220 H 744", (693, 210)),
    (State.RUNNING, Event.CANCEL): ("M 642 234 L 746 318", (712, 272)),
    (State.QUEUED, Event.CANCEL): ("M 350 242 C 370 330 560 330 744 330", (500, 312)),
    (State.SCHEDULED, Event.CANCEL): ("M 96 242 C 116 380 420 344 744 344", (270, 356)),
    (State.FAILED, Event.RETRY): (
        "M 882 220 C 960 200 960 34 850 34 H 420 C 350 34 330 80 330 194",
        (640, 26),
    ),
    (State.CANCELLED, Event.RETRY): ("M 882 330 C 990 300 980 34 850 34", (906, 352)),
}

HEAD = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"
     font-family="ui-sans-serif, system-ui, sans-serif" text-anchor="middle">
<!-- Made by `make docs` from master_svc/pullwork_master/core/transitions.py. -->
<title>The life of a task</title>
<defs>
  <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
          orient="auto">
    <path d="M 0 0 L 10 5 L 0 10 z" fill="#3b4252"/>
  </marker>
</defs>
<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="#fbfbf8"/>
"""


def box(state: State) -> str:
    """Returns a state's box; ends are filled."""
    x, y = AT[state]
    fill = "#e3e9f1" if state.ended else "#ffffff"
    return (
        f'<rect x="{x - BOX_WIDTH // 2}" y="{y - BOX_HEIGHT // 2}" width="{BOX_WIDTH}" '
        f'height="{BOX_HEIGHT}" rx="8" fill="{fill}" stroke="#3b4252" stroke-width="1.5"/>\n'
        f'<text x="{x}" y="{y + 5}" font-size="15" font-weight="600" fill="#2e3440">'
        f"{state.name}</text>\n"
    )


def arrow(state: State, event: Event) -> str:
    """Returns the arrow of one line of the table, dashed where a person must ask for it."""
    way, (x, y) = WAY[(state, event)]
    dashes = ' stroke-dasharray="5 4"' if event is Event.RETRY else ""
    return (
        f'<path d="{way}" fill="none" stroke="#3b4252" stroke-width="1.5"{dashes} '
        'marker-end="url(#tip)"/>\n'
        f'<text x="{x}" y="{y}" font-size="13" fill="#4c566a">{event.value}</text>\n'
    )


def picture() -> str:
    """Returns the whole picture."""
    if NEXT.keys() != WAY.keys():
        raise SystemExit(f"draw a way for {NEXT.keys() ^ WAY.keys()} in {__file__}")
    arrows = "".join(arrow(*key) for key in NEXT)
    return HEAD + arrows + "".join(box(state) for state in State) + "</svg>\n"


if __name__ == "__main__":
    print(picture(), end="")
