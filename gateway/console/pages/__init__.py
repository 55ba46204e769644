"""All pages of the console, module by module."""

from gateway.console.pages import landing

PAGES = (*landing.PAGES,)
