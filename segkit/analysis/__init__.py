"""Know the data: faults, balance, class weights, and the page that shows them."""
