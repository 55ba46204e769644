"""All pages of the console, module by module."""

from gateway.console.pages import chat, landing

PAGES = (*landing.PAGES, *chat.PAGES)
