"""A page as tests read it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Text, references and identifiers of a page; fails on tags that do not match."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.references, self.ids, self.open = "", [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        for key, value in attributes:
            if key in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.references.append(value)
            if key == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data
