-- The stream tables of the demo: workers keep them, nobody refreshes by hand.
SET search_path = shop;

-- a join
SELECT pgtrickle.create_stream_table('shop.open_orders', $$
    SELECT o.order_id, o.ordered_on, c.customer_id, c.name, c.country
      FROM shop.orders o JOIN shop.customers c USING (customer_id)
     WHERE o.status = 'open'$$, '250ms');

-- an aggregate
SELECT pgtrickle.create_stream_table('shop.product_sales', $$
    SELECT product_id, count(*) AS lines, sum(quantity) AS sold, sum(amount) AS revenue, max(amount) AS largest
      FROM shop.order_lines GROUP BY product_id$$, '500ms');

-- a join and an aggregate
SELECT pgtrickle.create_stream_table('shop.revenue_by_country', $$
    SELECT c.country, p.category, count(*) AS lines, sum(l.amount) AS revenue, avg(l.amount) AS average
      FROM shop.order_lines l
      JOIN shop.orders o USING (order_id)
      JOIN shop.customers c USING (customer_id)
      JOIN shop.products p USING (product_id)
     GROUP BY c.country, p.category$$, '1s');

-- DISTINCT
SELECT pgtrickle.create_stream_table('shop.days_and_countries', $$
    SELECT DISTINCT o.ordered_on, c.country
      FROM shop.orders o JOIN shop.customers c USING (customer_id)$$, '1s');

-- HAVING
SELECT pgtrickle.create_stream_table('shop.busy_customers', $$
    SELECT customer_id, count(*) AS orders, max(ordered_on) AS last_order
      FROM shop.orders GROUP BY customer_id HAVING count(*) >= 7$$, '1s');
