"""What an access request hands over: one HTML file that needs a passphrase, and nothing else but a browser.

`spool` keeps what was collected, encrypted, until `build` turns it into report and archive and `locked` encrypts them
for good; `unlock` is what the page does in the browser, for the terminal and the tests.
"""
