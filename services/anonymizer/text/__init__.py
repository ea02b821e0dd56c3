"""Texts without the people in them: helpdesk mail and chat in Swedish and English.

First whom the operator knows (`known`), then what has a form or a checksum of its own (`patterns`); where afterwards something still
looks as if it named somebody, the text has not been cleaned with confidence (`cleaning`), and its body is deleted.
"""
