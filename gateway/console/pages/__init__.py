"""All pages of the console, module by module."""

from gateway.console.pages import chat, docs, landing, models

PAGES = (*landing.PAGES, *chat.PAGES, *models.PAGES, *docs.PAGES)
