<?php
// A shop on the stand-in of WordPress, with the requests that Khipu's plugin 4.0.2 makes: it creates payments over
// wp_remote_*, takes the payment methods from its option, and verifies a notification by Khipu's signature.

declare(strict_types=1);

ini_set('display_errors', '0');
require __DIR__ . '/wordpress.php';
define('CHASQUI_URL', getenv('CHASQUI_URL'));
define('CHASQUI_API_KEY', getenv('CHASQUI_API_KEY'));
save('options', ['woocommerce_khipusimplifiedtransfer_settings' => ['receiver_id' => getenv('RECEIVER_ID')]]);
require __DIR__ . '/../chasqui-for-khipu.php';

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$request = "{$_SERVER['REQUEST_METHOD']} $path";
match (true) {
    $request === 'GET /' => print('a shop'),
    $request === 'GET /checkout' => checkout(),
    $request === 'POST /orders' => place_order($_GET['method'] ?? 'khipusimplifiedtransfer'),
    $request === 'POST /' => receive_notification(),
    preg_match('#^GET /orders/(\d+)$#', $request, $found) === 1 => do_action('woocommerce_thankyou', (int) $found[1]),
    default => http_response_code(404),
};

function checkout(): void
{
    $option = get_option('woocommerce_gateway_khipu_payment_methods');
    // Where this does not hold, the plugin asks Khipu with curl.
    if (!is_array($option) || time() - $option['ts'] > 30) {
        http_response_code(500);
        return;
    }
    echo implode(' ', array_column($option['methods']->paymentMethods ?? [], 'id'));
}

function place_order(string $method): void
{
    $orders = load('orders');
    $id = count($orders) + 1;
    save('orders', $orders + [$id => ['payment_method' => $method, 'status' => 'pending']]);
    $shop = getenv('SHOP_URL');
    $answer = wp_remote_request('https://payment-api.khipu.com/v3/payments', [
        'method' => 'POST',
        'headers' => ['X-Api-Key' => 'the plugin\'s own', 'Content-Type' => 'application/json'],
        'body' => json_encode([
            'amount' => 24990.0,
            'currency' => 'CLP',
            'subject' => "Orden $id",
            'transaction_id' => (string) $id,
            'custom' => serialize([$id, 'wc_order_key']),
            'return_url' => "$shop/orders/$id",
            'cancel_url' => "$shop/checkout",
            'notify_url' => "$shop/?wc-api=WC_Gateway_khipusimplifiedtransfer",
            'notify_api_version' => '3.0',
        ]),
    ]);
    if (is_wp_error($answer)) {
        throw new RuntimeException('the plugin ends with a fatal error at a WP_Error');
    }
    $payment = json_decode(wp_remote_retrieve_body($answer));
    if (isset($payment->simplified_transfer_url)) {
        header("location: $payment->simplified_transfer_url", true, 303);
    } else {
        echo json_encode($payment);
    }
}

function receive_notification(): void
{
    $body = file_get_contents('php://input');
    [$t, $s] = sscanf($_SERVER['HTTP_X_KHIPU_SIGNATURE'] ?? '', 't=%[0-9],s=%s') ?? [null, null];
    $notification = json_decode($body);
    if ($s !== base64_encode(hash_hmac('sha256', "$t.$body", getenv('KHIPU_SECRET'), true)) || (float) $notification->amount !== 24990.0) {
        http_response_code(401);
        return;
    }
    [$id] = unserialize($notification->custom, ['allowed_classes' => false]);
    $orders = load('orders');
    $orders[$id]['status'] = 'processing';
    save('orders', $orders);
}
