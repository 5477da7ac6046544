-- One customer's visit, as pgbench runs it: an order of three lines, an
-- earlier one shipped, and now and then one cancelled or a line corrected.
\set customer random(1, :customers)
\set product random(1, 1990)
\set old random(1, :orders)
\set quantity random(1, 5)
\set what random(1, 10)
BEGIN;
WITH o AS (
    INSERT INTO shop.orders (customer_id, ordered_on)
    VALUES (:customer, current_date) RETURNING order_id)
INSERT INTO shop.order_lines
SELECT o.order_id, p.n, p.product_id, :quantity, :quantity * p.price
  FROM o, (SELECT row_number() OVER () AS n, product_id, price FROM shop.products
            WHERE product_id IN (:product, :product + 4, :product + 9)) p;
UPDATE shop.orders SET status = 'shipped'
 WHERE order_id = (SELECT order_id FROM shop.orders WHERE status = 'open' ORDER BY order_id LIMIT 1 FOR UPDATE SKIP LOCKED);
\if :what = 1
DELETE FROM shop.orders WHERE order_id = :old;
\elif :what = 2
UPDATE shop.order_lines SET quantity = quantity + 1, amount = amount + amount / quantity WHERE order_id = :old;
\endif
COMMIT;
