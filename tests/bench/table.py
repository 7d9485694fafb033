"""The figures: one line each, with what they are set against."""

import operator

COMPARE = {">=": operator.ge, "<=": operator.le, "<": operator.lt}
HEADINGS = ("figure", "ours", "peer or limit", "ratio", "target", "met")


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return "{:,.0f}".format(value)
    return "{:.3g}".format(value) if abs(value) < 100 else "{:.0f}".format(value)


class Table:
    def __init__(self):
        self.rows = []

    def absolute(self, figure, ours, comparison, limit, unit="", reference=None, name=""):
        """A figure with a limit of its own, e.g. milliseconds; beside it what it may be seen with."""
        self._add(figure, ours, reference, None, name, comparison, limit, unit,
                  ours is not None and COMPARE[comparison](ours, limit))

    def against(self, figure, ours, reference, name, comparison, factor, unit=""):
        """A figure as a multiple of a peer's or a limit's; reference None: that was not measured."""
        ratio = ours / reference if reference and ours is not None else None
        met = None if ratio is None else COMPARE[comparison](ratio, factor)
        self._add(figure, ours, reference, ratio, name, comparison, factor, unit, met, relative=True)

    def note(self, figure, ours, reference=None, name="", unit=""):
        """A figure without a target."""
        self._add(figure, ours, reference, None, name, "", None, unit, None)

    def _add(self, figure, ours, reference, ratio, name, comparison, target, unit, met,
             relative=False):
        self.rows.append({"figure": figure, "unit": unit, "ours": ours, "reference": reference,
                          "reference_name": name, "ratio": ratio, "comparison": comparison,
                          "target": target, "relative": relative, "met": met})

    def missed(self):
        return [row["figure"] for row in self.rows if row["met"] is False]

    def text(self):
        lines = [HEADINGS] + [self._line(row) for row in self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
        lines.insert(1, tuple("-" * width for width in widths))
        return "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                         for line in lines)

    @staticmethod
    def _line(row):
        relative = row["relative"]
        reference = row["reference_name"]
        if row["reference"] is not None:
            reference = "%s (%s)" % (number(row["reference"]), row["reference_name"])
        elif reference:
            reference = "not run (%s)" % reference
        target = ""
        if row["target"] is not None:
            target = "%s %s%s" % (row["comparison"], number(row["target"]), " x" if relative else "")
        return ("%s%s" % (row["figure"], ", " + row["unit"] if row["unit"] else ""),
                number(row["ours"]), reference, number(row["ratio"]) if relative else "", target,
                {True: "yes", False: "NO", None: ""}[row["met"]])
