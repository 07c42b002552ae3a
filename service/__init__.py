"""A contact's picture over HTTP, as SuperOffice CRM serves it. Kept empty: render workers import this package."""
