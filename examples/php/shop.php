<?php
// A shop that takes bank transfers through Chasqui: creates a payment, shows the payer its status, and receives the
// notification that makes the order paid. Plain PHP, for any web server that sends all requests to this file.

declare(strict_types=1);

// An error goes to the log and makes the answer 500. PHP would answer 200 with an error that it displays.
ini_set('display_errors', '0');

// A signature counts for ten minutes, so that a recorded notification cannot be sent again later.
const TOLERANCE_MS = 600_000;

$request = $_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
match (true) {
    $request === 'GET /' => page('<form method="post" action="/orders"><button>Buy a poncho for $24.990</button></form>'),
    $request === 'POST /orders' => create_order(),
    $request === 'POST /khipu' => receive_notification(),
    preg_match('#^GET /orders/([0-9a-f]{32})$#', $request, $found) === 1 => show_order($found[1]),
    default => page('<p>There is no such page.</p>', 404),
};

function create_order(): never
{
    $order = ['id' => bin2hex(random_bytes(16)), 'amount' => 24990, 'currency' => 'CLP'];
    // Saved before the payment exists, so that no notification finds the order missing.
    database()->prepare('INSERT INTO orders (id, amount, currency) VALUES (:id, :amount, :currency)')->execute($order);
    $url = setting('SHOP_URL');
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => [
            'x-api-key: ' . setting('CHASQUI_API_KEY'),
            'content-type: application/json',
            'idempotency-key: ' . $order['id'],
        ],
        'content' => json_encode([
            'amount' => $order['amount'],
            'currency' => $order['currency'],
            'subject' => 'Poncho',
            'transaction_id' => $order['id'],
            'return_url' => "$url/orders/{$order['id']}",
            'cancel_url' => "$url/orders/{$order['id']}",
            'notify_url' => "$url/khipu",
        ], JSON_THROW_ON_ERROR),
        'timeout' => 15,
        'ignore_errors' => true, // The body of an error says what is wrong.
    ]]);
    $answer = file_get_contents(setting('CHASQUI_URL') . '/v3/payments', false, $context);
    $payment = json_decode($answer === false ? '' : $answer, true);
    if (!isset($payment['payment_url'])) {
        error_log("order {$order['id']}: no payment was created: $answer");
        page('<p>The payment could not be started. Please try again.</p>', 502);
    }
    header('location: ' . $payment['payment_url']);
    answer(303, '');
}

// The payer returns here with a status token in the fragment, which the element reads.
function show_order(string $id): never
{
    $order = find_order($id);
    if ($order === null) {
        page('<p>There is no such order.</p>', 404);
    }
    $state = $order['paid_at'] === null ? 'awaiting the transfer' : "paid on {$order['paid_at']}";
    header('cache-control: no-store');
    page("<p>Order $id</p>
      <script type=\"module\" src=\"" . setting('CHASQUI_URL') . "/js/chasqui.js\"></script>
      <chasqui-status>Your order is $state.</chasqui-status>");
}

function receive_notification(): never
{
    $body = file_get_contents('php://input');
    if (!is_genuine($_SERVER['HTTP_X_KHIPU_SIGNATURE'] ?? '', $body)) {
        answer(401, 'not verified');
    }
    $notification = json_decode($body, true, 512, JSON_THROW_ON_ERROR);
    $order = find_order($notification['transaction_id'] ?? '');
    // Khipu sends "24990.0000", and may send 11900.5 for an order of 11901: compare whole pesos.
    if (
        $order === null || $notification['currency'] !== $order['currency']
        || (int) round((float) $notification['amount']) !== $order['amount']
    ) {
        error_log("payment {$notification['payment_id']} does not match an order: {$notification['transaction_id']}");
        answer(400, 'not what was ordered');
    }
    $pay = database()->prepare('UPDATE orders SET paid_at = ?, payment_id = ? WHERE id = ? AND paid_at IS NULL');
    $pay->execute([gmdate('c'), $notification['payment_id'], $order['id']]);
    if ($pay->rowCount() === 1) {
        error_log("order {$order['id']} is paid");
    } elseif (find_order($order['id'])['payment_id'] !== $notification['payment_id']) {
        error_log("order {$order['id']} was paid twice: refund payment {$notification['payment_id']}");
    }
    // Only now: any other answer, or none, makes Chasqui deliver it again.
    answer(200, 'saved');
}

// `t=<unix milliseconds>,s=<base64 of HMAC-SHA256(secret, t + "." + body)>`, over the raw bytes.
function is_genuine(string $header, string $body): bool
{
    if (preg_match('/^t=(\d{1,15}),s=(.+)$/', $header, $parts) !== 1) {
        return false;
    }
    [, $sent_at, $claimed] = $parts;
    $expected = base64_encode(hash_hmac('sha256', "$sent_at.$body", setting('KHIPU_SECRET'), true));
    return hash_equals($expected, $claimed) && abs(microtime(true) * 1000 - (int) $sent_at) <= TOLERANCE_MS;
}

function find_order(string $id): ?array
{
    $find = database()->prepare('SELECT * FROM orders WHERE id = ?');
    $find->execute([$id]);
    return $find->fetch() ?: null;
}

function database(): PDO
{
    static $database = null;
    if ($database === null) {
        $database = new PDO('sqlite:orders.db', null, null, [PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC]);
        $database->exec('CREATE TABLE IF NOT EXISTS orders
            (id TEXT PRIMARY KEY, amount INTEGER, currency TEXT, paid_at TEXT, payment_id TEXT)');
    }
    return $database;
}

function page(string $content, int $status = 200): never
{
    answer($status, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Poncho shop</title><body>$content</body></html>");
}

function answer(int $status, string $body): never
{
    http_response_code($status);
    exit($body);
}

function setting(string $name): string
{
    return getenv($name) ?: throw new RuntimeException("set the environment variable $name");
}
